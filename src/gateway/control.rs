//! The control socket: commands beside a running gateway talk to it here. One JSON line asks, one answers.
//!
//! Owns the socket file and its mode (0660: its group may use it). What is answered comes from the store's thread.

use super::store::{Question, Store};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

/// A question may be this long, in bytes.
const LONGEST_QUESTION: u64 = 64 << 10;
/// Bytes of a path that a socket address holds on every Unix.
const LONGEST_ADDRESS: usize = 100;
/// A command that says nothing for this long is turned away.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the socket of a state directory is.
#[must_use]
pub fn socket(state_dir: &Path) -> PathBuf {
    state_dir.join("control.sock")
}

/// The same socket by a path that fits a socket address (108 bytes on Linux), however deep the state directory lies.
/// The path is good as long as the directory that comes with it is open.
fn address(state_dir: &Path) -> std::io::Result<(Option<std::fs::File>, PathBuf)> {
    let path = socket(state_dir);
    if path.as_os_str().len() <= LONGEST_ADDRESS {
        return Ok((None, path));
    }
    let dir = std::fs::File::open(state_dir)?;
    let path = socket(Path::new(&format!("/proc/self/fd/{}", dir.as_raw_fd())));
    Ok((Some(dir), path))
}

/// Why the control socket does not work.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// It cannot be made.
    #[error("cannot listen on {path}: {source}")]
    Listen {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The gateway did not answer.
    #[error("the gateway behind {path} does not answer: {reason}")]
    Silent {
        /// Where.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Makes the socket. The store's lock is held by now, so a socket file that is there is a dead gateway's.
pub(super) fn listen(state_dir: &Path) -> Result<UnixListener, ControlError> {
    let path = socket(state_dir);
    let fault = |source| ControlError::Listen {
        path: path.clone(),
        source,
    };
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => return Err(fault(source)),
        _ => {}
    }
    let (_dir, address) = address(state_dir).map_err(fault)?;
    let listener = UnixListener::bind(address).map_err(fault)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o660)).map_err(fault)?;
    Ok(listener)
}

/// Answers commands, one after the other, until `stop`.
pub(super) async fn serve(listener: UnixListener, store: Store, stop: CancellationToken) {
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match stream {
            Ok((stream, _)) => {
                let answered = tokio::time::timeout(PATIENCE, answer(stream, &store)).await;
                if !matches!(answered, Ok(Ok(()))) {
                    tracing::debug!("a command on the control socket went away unanswered");
                }
            }
            Err(fault) => {
                tracing::warn!("control socket: {fault}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn answer(stream: UnixStream, store: &Store) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    BufReader::new(reader.take(LONGEST_QUESTION))
        .read_line(&mut line)
        .await?;
    let answer = match serde_json::from_str::<Question>(&line) {
        Ok(question) => match store.ask(question).await {
            Some(answer) => serde_json::json!({ "ok": answer }),
            None => serde_json::json!({ "error": "the gateway is stopping" }),
        },
        Err(fault) => serde_json::json!({ "error": format!("not understood: {fault}") }),
    };
    writer.write_all(format!("{answer}\n").as_bytes()).await?;
    writer.shutdown().await
}

/// Asks the gateway that runs on `state_dir`; `None` where none runs there.
///
/// Blocking, for commands.
pub fn ask(state_dir: &Path, question: &Question) -> Result<Option<serde_json::Value>, ControlError> {
    use std::io::{BufRead, Write};
    let path = socket(state_dir);
    let connected = address(state_dir).and_then(|(_dir, address)| std::os::unix::net::UnixStream::connect(address));
    let Ok(mut stream) = connected else {
        return Ok(None);
    };
    let mut exchange = || -> std::io::Result<String> {
        stream.set_read_timeout(Some(PATIENCE * 2))?;
        stream.write_all(format!("{}\n", serde_json::to_string(question)?).as_bytes())?;
        let mut line = String::new();
        std::io::BufReader::new(&stream).read_line(&mut line)?;
        Ok(line)
    };
    let silent = |reason: String| ControlError::Silent {
        path: path.clone(),
        reason,
    };
    let line = exchange().map_err(|fault| silent(fault.to_string()))?;
    let mut answer: serde_json::Value = serde_json::from_str(&line).map_err(|fault| silent(fault.to_string()))?;
    match answer.get_mut("ok").map(serde_json::Value::take) {
        Some(answer) => Ok(Some(answer)),
        None => Err(silent(
            answer["error"].as_str().unwrap_or("it gave no reason").to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_found_however_deep_its_directory_lies() {
        let dir = tempfile::tempdir().unwrap();
        for depth in [1, 12] {
            let deep = dir.path().join("a-long-name-of-a-folder/".repeat(depth));
            std::fs::create_dir_all(&deep).unwrap();
            let listener = listen(&deep).unwrap();
            let mode = std::fs::metadata(socket(&deep)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o660);
            let answering = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                // Who closes before the question is read breaks the pipe of who asks.
                let mut question = [0; 1024];
                assert!(stream.read(&mut question).await.unwrap() > 0);
                stream.write_all(b"{\"ok\": 7}\n").await.unwrap();
            };
            let asked = deep.clone();
            let asking = tokio::task::spawn_blocking(move || ask(&asked, &Question::OutboxStats));
            let (answer, ()) = tokio::join!(asking, answering);
            assert_eq!(answer.unwrap().unwrap(), Some(7.into()), "{depth} deep");
        }
        assert!(
            ask(&dir.path().join("nowhere"), &Question::OutboxStats)
                .unwrap()
                .is_none()
        );
    }
}

//! The control socket: commands beside a running gateway talk to it here. One JSON line asks, one answers.
//!
//! Owns the socket file and its mode (0660: its group may use it). What is answered comes from the store's thread.

use super::store::{Question, Store};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

/// A question may be this long, in bytes.
const LONGEST_QUESTION: u64 = 64 << 10;
/// A command that says nothing for this long is turned away.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the socket of a state directory is.
#[must_use]
pub fn socket(state_dir: &Path) -> PathBuf {
    state_dir.join("control.sock")
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
    let listener = UnixListener::bind(&path).map_err(fault)?;
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
    let Ok(mut stream) = std::os::unix::net::UnixStream::connect(&path) else {
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

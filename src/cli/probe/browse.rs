//! `lineside probe --browse`: what an OPC UA server has, and a profile begun from chosen nodes. Owns the arguments, the progress
//! and the file; writes nothing to the server.

use super::space;
use super::starter::{self, Begun, quoted};
use super::target::{Where, own_folder};
use crate::cli::{INVALID, coloured, complain, interrupted, print, runtime};
use crate::clock::Clock;
use crate::device::opcua::browse::{self, MOST, Request, Way};
use crate::diagnostic::{Diagnostics, Severity};
use crate::gateway::setup::Disk;
use crate::model::plan::{Link, NodeRef, OpcuaLink};
use crate::profile::{FileFault, Files, Profile};
use crate::replay::nobody;
use crate::wire::opcua::node::parse_node;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What the arguments are called where they are faulty, as if they stood in a file.
const GIVEN: &str = "the command line";
/// How often the progress is told.
const BEAT: Duration = Duration::from_secs(2);

/// How a server is browsed.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What an OPC UA server has")]
pub(super) struct Browsing {
    /// Show the address space of this server: opc.tcp://host:4840, or a profile whose [connection] is used
    #[arg(long, value_name = "ADDR|PROFILE", conflicts_with_all = ["once", "every", "clears"])]
    browse: Option<String>,
    /// Begin at this node: 'nsu=urn:plc;s=Tool'
    #[arg(long, value_name = "NODE", requires = "browse")]
    under: Option<String>,
    /// How many levels
    #[arg(long, value_name = "N", requires = "browse", default_value_t = 4)]
    depth: usize,
    /// Only what has this text in its name or node id, and what is above that
    #[arg(long, value_name = "TEXT", requires = "browse")]
    filter: Option<String>,
    /// What travels how, as in a profile: Basic256Sha256/SignAndEncrypt, None; default: the strongest that the server offers
    #[arg(long, value_name = "POLICY", requires = "browse")]
    security: Option<String>,
    /// SHA-256 of the server's certificate; it is told where it is missing
    #[arg(long, value_name = "sha256:…", requires = "browse")]
    trust: Vec<String>,
    /// Certificates that are trusted, PEM or DER: the server's, or those of authorities that sign it
    #[arg(long, value_name = "FILE", requires = "browse")]
    trust_file: Option<String>,
    /// Log in as this user
    #[arg(long, value_name = "NAME", requires = "password_file")]
    username: Option<String>,
    /// The user's password is on the first line of this file
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<String>,
    /// Write a profile begun from the nodes that are named: variables, objects (their variables), types of events
    #[arg(long, value_name = "FILE", requires = "browse")]
    out: Option<PathBuf>,
    /// Overwrite the file
    #[arg(long, requires = "out")]
    force: bool,
}

impl Browsing {
    pub(super) fn is_asked(&self) -> bool {
        self.browse.is_some()
    }
}

/// Why it ended without a result.
enum Ended {
    /// All is said, or is said with this; of the user's arguments or files.
    Faulty(Option<String>),
    /// The server, or the file to be written.
    Failed(String),
}

pub(super) fn run(arguments: &super::Arguments) -> ExitCode {
    match looked(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ended::Faulty(sentence)) => {
            if let Some(sentence) = sentence {
                complain(&format!("error: {sentence}"));
            }
            ExitCode::from(INVALID)
        }
        Err(Ended::Failed(sentence)) => {
            complain(&format!("error: {sentence}"));
            ExitCode::FAILURE
        }
    }
}

fn faulty<T>(sentence: impl Into<String>) -> Result<T, Ended> {
    Err(Ended::Faulty(Some(sentence.into())))
}

fn looked(arguments: &super::Arguments) -> Result<(), Ended> {
    let of = &arguments.browse;
    let mut nodes = Vec::new();
    for name in &arguments.names {
        nodes.push(node(&name.to_string_lossy())?);
    }
    match (&of.out, nodes.is_empty()) {
        (None, false) => {
            return faulty(
                "what is done with these nodes? --out FILE begins a profile with them; --under NODE looks below one",
            );
        }
        (Some(_), true) => {
            return faulty(
                "choose what the profile begins with: node ids behind the file, as --browse without --out shows them",
            );
        }
        _ => {}
    }
    if let Some(out) = of.out.as_ref().filter(|out| out.exists() && !of.force) {
        return faulty(format!(
            "{} is there already: name another file, or --force overwrites it",
            out.display()
        ));
    }
    let (link, given) = link(arguments)?;
    let request = Request {
        under: of.under.as_deref().map(node).transpose()?,
        depth: of.depth,
        most: MOST,
        filter: of.filter.clone(),
    };
    let runtime = runtime().map_err(|fault| Ended::Failed(fault.to_string()))?;
    let outcome = runtime.block_on(answer(arguments, &link, &request, &nodes));
    outcome.map_err(|sentence| {
        // There is no file yet to write the line into.
        let sentence = match given {
            true => sentence
                .replace("write trust = \"sha256:", "say --trust sha256:")
                .replace("write security = \"None\"", "say --security None")
                .replace("\" in [connection]", ""),
            false => sentence,
        };
        Ended::Failed(sentence)
    })
}

/// A node id of the command line.
fn node(text: &str) -> Result<NodeRef, Ended> {
    parse_node(text).map_err(|fault| Ended::Faulty(Some(format!("`{text}` is no node: {fault}"))))
}

/// How the server is reached, and whether that stands on the command line.
fn link(arguments: &super::Arguments) -> Result<(OpcuaLink, bool), Ended> {
    let of = &arguments.browse;
    let named = of.browse.as_deref().unwrap_or_default();
    if !named.contains("://") {
        let said = [
            ("--security", of.security.is_some()),
            ("--trust", !of.trust.is_empty()),
            ("--trust-file", of.trust_file.is_some()),
            ("--username", of.username.is_some()),
        ];
        if let Some((option, _)) = said.iter().find(|(_, said)| *said) {
            return faulty(format!(
                "{named} is a profile, and its [connection] says how the server is reached: leave {option} away, or name the address, opc.tcp://host:4840"
            ));
        }
        let mut reach = arguments.reach.clone();
        reach.direct = true;
        let profile = Where {
            profile: PathBuf::from(named),
            reach,
        };
        // What is wrong with it is said there.
        let target = profile.find_and_note().map_err(|_| {
            let sentence = "an address is written opc.tcp://host:4840".to_owned();
            Ended::Faulty((!Path::new(named).exists()).then_some(sentence))
        })?;
        return match &target.plan.link {
            Link::Opcua(link) => Ok((link.clone(), false)),
            _ => faulty(format!(
                "{named} is no OPC UA device, and only OPC UA servers can be browsed"
            )),
        };
    }
    if arguments.reach.address.is_some() {
        return faulty("two addresses: --address is for profiles, leave it away");
    }
    let mut out = Diagnostics::new();
    let profile = Profile::load(Path::new(GIVEN), Path::new(""), &Given(as_profile(of, named)), &mut out);
    let Some(profile) = profile else {
        let mut errors = Diagnostics::new();
        for fault in out.iter().filter(|fault| fault.severity == Severity::Error) {
            errors.push(fault.clone());
        }
        complain(&errors.render(coloured()));
        return Err(Ended::Faulty(None));
    };
    match profile.plan(&nobody(&profile).slot).link {
        Link::Opcua(link) => Ok((link, true)),
        _ => faulty(format!("{named} is no address of an OPC UA server")),
    }
}

/// The arguments as a profile would say them: it is read as one, and what is wrong is told as of one.
fn as_profile(of: &Browsing, address: &str) -> String {
    let mut lines = vec![
        "profile = 1".to_owned(),
        "[connection]".to_owned(),
        "protocol = \"opcua\"".to_owned(),
        format!("address = {}", quoted(address)),
    ];
    let texts = [
        ("security", &of.security),
        ("trust_file", &of.trust_file),
        ("username", &of.username),
        ("password_file", &of.password_file),
    ];
    for (key, text) in texts {
        lines.extend(text.as_ref().map(|text| format!("{key} = {}", quoted(text))));
    }
    if !of.trust.is_empty() {
        let pins: Vec<String> = of.trust.iter().map(|pin| quoted(pin)).collect();
        lines.push(format!("trust = [{}]", pins.join(", ")));
    }
    lines.join("\n") + "\n"
}

/// The command line as a file, beside those on disk.
struct Given(String);

impl Files for Given {
    fn read(&self, path: &Path) -> Result<String, FileFault> {
        if path == Path::new(GIVEN) {
            return Ok(self.0.clone());
        }
        match Disk.read(path) {
            // Only whether it is there is asked of it.
            Err(FileFault::Unreadable(_)) => Ok(String::new()),
            read => read,
        }
    }
}

/// Asks the server, and prints or writes the answer.
async fn answer(
    arguments: &super::Arguments,
    link: &OpcuaLink,
    request: &Request,
    nodes: &[NodeRef],
) -> Result<(), String> {
    let of = &arguments.browse;
    let (clock, found, stop) = (Clock::machine(), AtomicUsize::new(0), CancellationToken::new());
    let way = Way {
        link,
        clock: &clock,
        home: own_folder(),
        stop: &stop,
        found: &found,
    };
    let told = async {
        let mut beat = tokio::time::interval(BEAT);
        beat.tick().await;
        loop {
            beat.tick().await;
            complain(&format!(
                "{} nodes so far; Ctrl-C ends it",
                found.load(Ordering::Relaxed)
            ));
        }
    };
    let ended = async {
        interrupted().await;
        stop.cancel();
        std::future::pending::<()>().await;
    };
    let asked = async {
        let Some(out) = &of.out else {
            let found = browse::browse(&way, request).await?;
            if arguments.json {
                print(&format!("{:#}", space::json(&link.address, &found)));
            } else {
                print(&space::text(&link.address, &found, request.depth));
            }
            return Ok(());
        };
        let (server, picked) = browse::pick(&way, nodes).await?;
        let date = clock.now().rfc3339();
        let text = starter::text(&Begun {
            link: &beside(link, out),
            server: &server,
            picked: &picked,
            date: date.get(..10).unwrap_or(&date),
        });
        write(out, &text, of.force).map_err(|fault| format!("cannot write {}: {fault}", out.display()))?;
        if arguments.json {
            print(&serde_json::json!({ "out": out, "said": starter::told(&picked) }).to_string());
        } else {
            print(&format!(
                "{}: {}; answer what says FILL IN in it, then `lineside check {0}`",
                out.display(),
                starter::told(&picked)
            ));
        }
        Ok(())
    };
    tokio::select! {
        outcome = asked => outcome,
        () = told => Ok(()),
        () = ended => Ok(()),
    }
}

/// The link with paths that are right in `out`: relative ones stay only where it stands in the same folder.
fn beside(link: &OpcuaLink, out: &Path) -> OpcuaLink {
    use crate::model::plan::Identity;
    let here = out.parent().is_none_or(|folder| folder.as_os_str().is_empty());
    let right = |path: &PathBuf| match here {
        true => path.clone(),
        false => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
    };
    let mut link = link.clone();
    link.trust.file = link.trust.file.as_ref().map(right);
    link.identity = match &link.identity {
        Identity::Anonymous => Identity::Anonymous,
        Identity::User { name, password_file } => Identity::User {
            name: name.clone(),
            password_file: right(password_file),
        },
        Identity::Certificate { cert_file, key_file } => Identity::Certificate {
            cert_file: right(cert_file),
            key_file: right(key_file),
        },
    };
    link
}

/// Writes the file; one that is there only where `force` says so.
fn write(out: &Path, text: &str, force: bool) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    if force {
        options.write(true).create(true).truncate(true);
    } else {
        options.write(true).create_new(true);
    }
    options.open(out)?.write_all(text.as_bytes())
}

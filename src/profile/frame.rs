//! `[frame]`: what a frame is, how it is taken apart, what is asked and answered. Owns what cannot go together; reads no byte.

use super::connection::duration;
use super::points::is_name;
use crate::diagnostic::tree::{Node, Table, parse_duration};
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::model::plan::{Checksum, ChecksumAt, FramePlan, FramePoll, ParsePlan};
use regex::Regex;
use std::sync::Arc;
use std::time::Duration;

/// Longest frame in bytes where nothing is said.
const MAX: usize = 4096;

/// All that `[frame]` says.
#[derive(Debug)]
pub(super) struct Frames {
    pub(super) frame: FramePlan,
    pub(super) parse: ParsePlan,
    pub(super) poll: Option<FramePoll>,
    pub(super) reply: Option<Vec<u8>>,
    /// Named groups of the pattern.
    pub(super) groups: Vec<Arc<str>>,
    pub(super) pattern_place: Option<Place>,
    /// Bytes of the longest frame, and where that is said.
    pub(super) longest: Option<(usize, Place)>,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            frame: FramePlan {
                start: Vec::new(),
                end: Vec::new(),
                lengths: Vec::new(),
                checksum: Checksum::None,
                checksum_at: ChecksumAt::BeforeEnd,
                idle: None,
                max: MAX,
            },
            parse: ParsePlan::default(),
            poll: None,
            reply: None,
            groups: Vec::new(),
            pattern_place: None,
            longest: None,
        }
    }
}

/// Text in a file as bytes: characters up to U+00FF are one byte each, `"\u0002"`, `"\u00ff"`; a text with others is UTF-8.
pub(super) fn bytes(text: &str) -> Vec<u8> {
    let single: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    single.unwrap_or_else(|| text.as_bytes().to_vec())
}

/// Compiles `[frame]`.
pub(super) fn compile(node: Option<&Node>, connection: &Place, out: &mut Diagnostics) -> Frames {
    let mut found = Frames::default();
    let Some((node, keys)) = node.and_then(|node| Some((node, node.as_table()?))) else {
        if node.is_none() {
            out.push(
                Diagnostic::error(connection, "a device that says frames needs a [frame]")
                    .help("say what ends one: [frame] end = \"\\r\\n\""),
            );
        }
        return found;
    };
    cut(node, keys, &mut found, out);
    taken_apart(keys, &mut found, out);
    asked(keys, &mut found, out);
    found
}

/// Where a frame begins and ends.
fn cut(node: &Node, keys: &Table, found: &mut Frames, out: &mut Diagnostics) {
    let frame = &mut found.frame;
    let text = |key: &str, out: &mut Diagnostics| -> Vec<u8> {
        let Some((text, place)) = keys.get(key).and_then(|node| Some((node.as_text()?, &node.place))) else {
            return Vec::new();
        };
        if text.is_empty() {
            out.push(
                Diagnostic::error(place, format!("`{key}` is empty"))
                    .help("leave it out, or write the bytes: \"\\u0002\", \"\\r\\n\""),
            );
        }
        bytes(text)
    };
    frame.start = text("start", out);
    frame.end = text("end", out);
    let size = |node: &Node| node.as_integer().and_then(|length| usize::try_from(length).ok());
    if let (Some((length, _)), Some((lengths, _))) = (keys.entry("length"), keys.entry("lengths")) {
        out.push(
            Diagnostic::error(&lengths.place, "`length` and `lengths` cannot go together")
                .related(&length.place, "here"),
        );
    }
    let lengths = keys.entry("lengths").or_else(|| keys.entry("length"));
    let length = lengths.map(|(_, node)| node);
    frame.lengths = length
        .map(Node::one_or_more)
        .unwrap_or_default()
        .iter()
        .filter_map(size)
        .collect();
    if let Some((key, node)) = keys.entry("lengths")
        && frame.lengths.is_empty()
        && node.one_or_more().is_empty()
    {
        out.push(Diagnostic::error(&node.place, format!("`{}` needs a number", key.name)));
    }
    frame.checksum = match keys.get("checksum").and_then(Node::as_text) {
        Some("xor") => Checksum::Xor,
        Some("sum8") => Checksum::Sum8,
        Some("lrc") => Checksum::Lrc,
        Some("crc16") => Checksum::Crc16,
        _ => Checksum::None,
    };
    if keys.get("checksum_at").and_then(Node::as_text) == Some("after_end") {
        frame.checksum_at = ChecksumAt::AfterEnd;
    }
    if let Some(idle) = keys.get("idle") {
        frame.idle = idle.as_text().and_then(parse_duration);
        if frame.idle == Some(Duration::ZERO) {
            out.push(Diagnostic::error(&idle.place, "`idle` must be more than nothing").help("write \"50ms\""));
        }
    }
    frame.max = keys.get("max").and_then(size).unwrap_or(MAX);
    ends(node, keys, frame, out);
    if let Some((most, node)) = frame.lengths.iter().max().zip(length) {
        found.longest = Some((*most, node.place.clone()));
    }
}

/// Whether that can be cut.
fn ends(node: &Node, keys: &Table, frame: &FramePlan, out: &mut Diagnostics) {
    let says = |key: &str| keys.get(key).is_some();
    if !["start", "end", "length", "lengths", "idle"].into_iter().any(says) {
        out.push(Diagnostic::error(&node.place, "nothing says where a frame ends").help(
            "say one of end = \"\\r\\n\", length = 68, lengths = [68, 93], start = \"\\u0002\", idle = \"50ms\"",
        ));
    }
    if let Some((key, _)) = keys.entry("checksum")
        && frame.checksum != Checksum::None
        && frame.end.is_empty()
        && frame.lengths.is_empty()
    {
        out.push(
            Diagnostic::error(&key.place, "a `checksum` needs `end` or `length`")
                .label("its digits stand before or behind the end of the frame")
                .help("say what ends a frame: end = \"\\r\\n\", or length = 68"),
        );
    }
    if let Some((key, _)) = keys.entry("checksum_at")
        && frame.checksum == Checksum::None
    {
        out.push(
            Diagnostic::error(&key.place, "`checksum_at` goes with `checksum`").help("say which: checksum = \"xor\""),
        );
    }
    let digits = match frame.checksum {
        Checksum::None => 0,
        Checksum::Xor | Checksum::Sum8 | Checksum::Lrc => 2,
        Checksum::Crc16 => 4,
    };
    let least = (frame.start.len() + frame.end.len() + digits).max(1);
    let lengths = keys.get("lengths").or_else(|| keys.get("length"));
    if let Some(node) = lengths {
        if let Some(long) = frame.lengths.iter().find(|length| **length > frame.max) {
            out.push(
                Diagnostic::error(
                    &node.place,
                    format!("{long} bytes are beyond `max`, which is {}", frame.max),
                )
                .help("write a larger `max`"),
            );
        }
        if let Some(short) = frame.lengths.iter().find(|length| **length < least) {
            out.push(
                Diagnostic::error(
                    &node.place,
                    format!("{short} bytes have no room for start, check sum and end"),
                )
                .label(format!("these alone are {least} bytes"))
                .help("a length is that of the whole frame, start and end included"),
            );
        }
        if frame.lengths.len() > 1 && frame.end.is_empty() {
            out.push(
                Diagnostic::error(&node.place, "several `lengths` need an `end`")
                    .help("it tells which of them a frame has: end = \"\\r\\n\""),
            );
        }
    } else if frame.max < least
        && let Some(node) = keys.get("max")
    {
        out.push(Diagnostic::error(
            &node.place,
            format!("`max` has no room for start, check sum and end, which are {least} bytes"),
        ));
    }
    if let Some((key, _)) = keys.entry("end")
        && frame.lengths.is_empty()
        && !frame.start.is_empty()
        && frame.start == frame.end
    {
        out.push(
            Diagnostic::error(&key.place, "`start` and `end` are the same bytes")
                .help("leave `start` out, or write the `length`"),
        );
    }
}

/// How the parts of a frame are found.
fn taken_apart(keys: &Table, found: &mut Frames, out: &mut Diagnostics) {
    let text = |key: &str| keys.get(key).and_then(|node| Some((node.as_text()?, &node.place)));
    if let Some((pattern, place)) = text("pattern") {
        found.pattern_place = Some(place.clone());
        if let Some(regex) = regex("pattern", pattern, place, out) {
            found.groups = regex.capture_names().flatten().map(Arc::from).collect();
        }
        for group in found.groups.iter().filter(|group| !is_name(group)) {
            out.push(
                Diagnostic::error(place, format!("`{group}` is no name of a point"))
                    .help("every named group is a point: letters, digits and _, at most 64"),
            );
        }
        found.parse.pattern = Some(pattern.into());
    }
    if let Some((ignore, place)) = text("ignore") {
        regex("ignore", ignore, place, out);
        found.parse.ignore = Some(ignore.into());
    }
    if let Some((separator, place)) = text("separator") {
        if separator.is_empty() {
            out.push(Diagnostic::error(place, "`separator` is empty").help("write what stands between columns: \",\""));
        }
        found.parse.separator = Some(separator.into());
    }
}

fn regex(key: &str, text: &str, place: &Place, out: &mut Diagnostics) -> Option<Regex> {
    match Regex::new(text) {
        Ok(regex) => Some(regex),
        Err(fault) => {
            let fault = fault.to_string();
            // Of a syntax error the first lines repeat the text.
            let why = fault.lines().last().unwrap_or_default();
            let why = why.strip_prefix("error: ").unwrap_or(why).to_owned();
            out.push(
                Diagnostic::error(place, format!("`{key}` is no regular expression"))
                    .label(why)
                    .help("in '…' nothing is escaped by TOML; a named group is (?<torque>[-0-9.]+); there is no look-around"),
            );
            None
        }
    }
}

/// What is asked and answered.
fn asked(keys: &Table, found: &mut Frames, out: &mut Diagnostics) {
    if let Some(node) = keys.get("poll")
        && let Some(poll) = node.as_table()
    {
        let send = poll.get("send").and_then(Node::as_text).unwrap_or_default();
        let every = duration(poll, "every", Duration::ZERO);
        if send.is_empty() || every.is_zero() {
            out.push(
                Diagnostic::error(&node.place, "`poll` needs `send` and `every`")
                    .help("poll = { send = \"?\\r\", every = \"500ms\" }"),
            );
        }
        found.poll = Some(FramePoll {
            send: bytes(send),
            every,
        });
    }
    if let Some((reply, place)) = keys.get("reply").and_then(|node| Some((node.as_text()?, &node.place))) {
        if reply.is_empty() {
            out.push(
                Diagnostic::error(place, "`reply` is empty").help("leave it out, or write what is sent: \"\\u0006\""),
            );
        }
        found.reply = Some(bytes(reply));
    }
}

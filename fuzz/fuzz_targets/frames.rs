//! Any bytes through any framing give frames or noise, and any frame reads as any point, never a panic; no byte but
//! blanks is lost.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lineside::model::plan::{Checksum, ChecksumAt, FramePlace as Place, FramePlan, FramePoint, ParsePlan, TextKind as Kind};
use lineside::wire::framed::{Framed, Framer, Parser, shape};

fuzz_target!(|input: (&[u8], &[u8], Vec<u8>, u8, Vec<(u16, Vec<u8>)>)| {
    let (start, end, lengths, choice, pieces) = input;
    let sums = [Checksum::None, Checksum::Xor, Checksum::Sum8, Checksum::Lrc, Checksum::Crc16];
    let frame = FramePlan {
        start: start.to_vec(),
        end: end.to_vec(),
        lengths: lengths.into_iter().map(usize::from).collect(),
        checksum: sums[usize::from(choice) % sums.len()],
        checksum_at: if choice & 128 == 0 { ChecksumAt::BeforeEnd } else { ChecksumAt::AfterEnd },
        idle: None,
        max: 300,
    };
    if shape::check(&frame).is_err() {
        return;
    }
    let parser = Parser::new(&ParsePlan {
        pattern: Some(r"^(?<aim>\]..)?(?<code>.*)$".into()),
        ignore: Some("^NOREAD$".into()),
        separator: Some(",".into()),
    })
    .expect("a good pattern");
    let mut framer = Framer::new(frame);
    let (mut now, mut came, mut blank, mut told) = (0, 0, 0, 0);
    let mut out = Vec::new();
    for (wait, bytes) in &pieces {
        now += u64::from(*wait);
        came += bytes.len();
        blank += bytes.iter().filter(|byte| matches!(byte, 13 | 10 | 0)).count();
        out.extend(framer.push(now, bytes));
    }
    out.extend(framer.close());
    for framed in out {
        match framed {
            Framed::Noise(count) => told += count,
            Framed::Frame { content, whole, .. } => {
                told += whole.len();
                let text = parser.parse(&content, &whole);
                let _ = parser.ignores(&text);
                for place in [
                    Place::Gs1All,
                    Place::DataIdentifier("S".into()),
                    Place::Columns(2, 9),
                    Place::Column(2),
                    Place::Group("code".into()),
                ] {
                    let _ = parser.read(&FramePoint { place, kind: Kind::Decimal }, &text);
                }
            }
        }
    }
    assert!(told <= came && told + blank >= came);
});

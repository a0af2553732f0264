//! Any bytes through any framing give frames or noise, and any frame reads as any point, never a panic; no byte but
//! blanks is lost.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lineside::wire::framed::{Checksum, ChecksumAt, Frame, Framed, FramePoint, Framer, Kind, Parse, Parser, Place};

fuzz_target!(|input: (&[u8], &[u8], Vec<u8>, u8, Vec<(u16, Vec<u8>)>)| {
    let (start, end, lengths, choice, pieces) = input;
    let sums = [Checksum::None, Checksum::Xor, Checksum::Sum8, Checksum::Lrc, Checksum::Crc16];
    let frame = Frame {
        start: start.to_vec(),
        end: end.to_vec(),
        lengths: lengths.into_iter().map(usize::from).collect(),
        checksum: sums[usize::from(choice) % sums.len()],
        checksum_at: if choice & 128 == 0 { ChecksumAt::BeforeEnd } else { ChecksumAt::AfterEnd },
        idle: None,
        max: 300,
    };
    if frame.check().is_err() {
        return;
    }
    let parser = Parser::new(&Parse {
        pattern: Some(r"^(?<aim>\]..)?(?<code>.*)$".to_owned()),
        ignore: Some("^NOREAD$".to_owned()),
        separator: Some(",".to_owned()),
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
                    Place::Vin,
                    Place::Gs1All,
                    Place::Iso15434("S".to_owned()),
                    Place::Columns(2, 9),
                    Place::Column(2),
                    Place::Group("code".to_owned()),
                ] {
                    let _ = parser.read(&FramePoint { place, kind: Kind::Decimal }, &text);
                }
            }
        }
    }
    assert!(told <= came && told + blank >= came);
});

//! Any bytes on a socket or a serial line are telegrams or noise, any telegram has values or a fault, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lineside::wire::open_protocol::{
    Joiner, Split, Splitter, Telegram, TraceOrder, block3964r, decode, link, serial, session, trace, variable,
};

/// Everything that can be asked of a telegram.
fn all(telegram: &Telegram) {
    if let Ok(out) = decode(telegram) {
        assert!(out.fields.iter().all(|field| !field.name.is_empty()));
        let joined = variable::join(&out, std::slice::from_ref(&out));
        assert!(joined.fields.len() <= 2 * out.fields.len() + 8);
    }
    for order in [TraceOrder::Little, TraceOrder::Big] {
        if let Ok(curve) = trace::decode(telegram, order) {
            assert!(curve.samples.len() * 2 <= telegram.binary.len());
        }
    }
    assert!(telegram.text().is_ascii());
    assert!(link::answer(telegram).is_none_or(|answer| answer.mid <= 9_999));
    assert!(session::refusal(telegram).is_none_or(|(_, code)| !session::error_text(code).is_empty()));
    assert!(session::asked(telegram).is_none_or(|asked| asked.revision > 0));
    assert!(variable::place(telegram).is_err() || matches!(telegram.mid(), 1201 | 1202));
}

fuzz_target!(|input: (u16, u16, Vec<u8>, u8)| {
    let (mid, revision, bytes, size) = input;
    all(&Telegram::new(mid % 10_000, revision % 1_000)
        .with_data(bytes.clone())
        .with_binary(bytes.clone()));
    let mut splitter = Splitter::new();
    let mut joiner = Joiner::new();
    for chunk in bytes.chunks(usize::from(size).max(1)) {
        splitter.push(chunk);
        for split in splitter.by_ref() {
            if let Split::Telegram(telegram, raw) = split {
                assert_eq!(Telegram::parse(&raw).as_ref(), Ok(&telegram));
                all(&telegram);
                if let Ok(Some(whole)) = joiner.take(telegram) {
                    all(&whole);
                }
            }
        }
    }
    let mut line = serial::Unwrapper::new();
    line.push(&bytes);
    assert!(line.by_ref().count() <= bytes.len());
    let mut blocks = block3964r::Link::new(block3964r::Priority::Low);
    let mut out = Vec::new();
    for (now, byte) in (0..).zip(&bytes) {
        blocks.receive(&[*byte], now, &mut out);
        blocks.tick(now + u64::from(*byte), &mut out);
    }
});

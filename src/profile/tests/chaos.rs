//! Whatever a device says by itself, each event is whole or has a reason.

use super::*;
use crate::model::plan::{Link, Said};
use crate::watch::Watcher;
use crate::watch::frames::FrameWatch;
use crate::wire::framed::{Framed, Framer};
use crate::wire::open_protocol::said::Hearer;
use crate::wire::open_protocol::{Telegram, reading};
use proptest::prelude::*;
use std::sync::LazyLock;

fn manual(name: &str) -> Profile {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("device-profiles/example/{name}.toml"));
    let text = std::fs::read_to_string(path).unwrap();
    let (profile, out) = read(&[("a.toml", &text)]);
    assert!(!out.has_errors(), "{}", out.render(false));
    profile.unwrap()
}

static SERIAL: LazyLock<Profile> = LazyLock::new(|| manual("serial"));
static TELEGRAMS: LazyLock<Profile> = LazyLock::new(|| manual("open-protocol"));

/// Every draft of a sample is whole, or says why it is not.
fn whole(profile: &Profile, sample: &Sample) -> Result<(), TestCaseError> {
    for meaning in profile.drafts(&contract(&[], &[], &[]), sample) {
        let Meaning::Draft(draft) = meaning else { continue };
        let mut required = draft.kind.fields().iter().filter(|spec| spec.required);
        let has = required.all(|spec| draft.data.contains_key(spec.name));
        prop_assert!(has == draft.quarantine.is_empty(), "{draft:?}");
        prop_assert!(!serde_json::to_string(&draft.data).unwrap().contains("null"));
    }
    Ok(())
}

/// Bytes with some of them replaced.
fn garbled(mut bytes: Vec<u8>, changes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    for (at, byte) in changes {
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn any_frame_gives_a_whole_event_or_a_reason(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        noise in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let profile = &*SERIAL;
        let plan = Arc::new(profile.plan(&SlotName::new("a", "b")));
        let Link::Framed(link) = &plan.link else { panic!("a manual of frames") };
        let frames = profile.start_frames();
        let mut bytes = noise;
        bytes.extend(garbled(which.get(frames.as_slice()).clone(), &changes));
        bytes.extend(which.get(frames.as_slice()).iter());
        let mut framer = Framer::new(link.frame.clone());
        let mut cut = framer.push(0, &bytes);
        cut.extend(framer.close());
        let mut watch = FrameWatch::new(plan.clone(), &link.parse, &HashMap::new()).unwrap();
        for (tick, framed) in cut.into_iter().enumerate() {
            let Framed::Frame { content, whole: all, fault } = framed else { continue };
            let now = Moment::new(1_795_342_503_171, u64::try_from(tick).unwrap());
            for event in watch.hear(now, &content, &all, fault).events {
                let mut sample = Sample::picture(&plan, event.event, event.values, event.before, now);
                sample.faults = event.faults;
                whole(profile, &sample)?;
            }
        }
    }

    #[test]
    fn any_telegram_gives_a_whole_event_or_a_reason(
        which in any::<prop::sample::Index>(),
        revision in prop_oneof![1_u16..12, Just(998), Just(999)],
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), b'0'..=b'9', Just(b' '), Just(b'-')]), 0..8),
        short in 0_usize..400,
    ) {
        let profile = &*TELEGRAMS;
        let plan = Arc::new(profile.plan(&SlotName::new("a", "b")));
        let telegrams = profile.start_telegrams();
        let of = which.get(telegrams.as_slice());
        let mut data = garbled(of.data.clone(), &changes);
        data.truncate(data.len().saturating_sub(short / 4));
        let telegram = Telegram::new(of.mid(), revision).with_data(data).with_binary(of.binary.clone());
        let mut watcher = Watcher::new(plan.clone(), &HashMap::new());
        let now = Moment::new(1_795_342_503_171, 1);
        if let Some(word) = Hearer::default().take(telegram) {
            for fields in &word.readings {
                let values = reading::values(&plan.points, fields, &[]);
                for happening in watcher.hear(now, &values, Some(word.said)).happened {
                    let mut sample = Sample::picture(&plan, happening.event, happening.values, happening.before, now);
                    sample.faults.clone_from(&word.faults);
                    whole(profile, &sample)?;
                }
            }
        }
    }
}

#[test]
fn the_manuals_speak_of_everything_that_is_said() {
    let said = |profile: &Profile| -> Vec<Said> {
        let plan = profile.plan(&SlotName::new("a", "b"));
        let triggers = plan.events.into_iter().flat_map(|event| event.triggers);
        triggers
            .filter_map(|trigger| match trigger {
                Trigger::Said(said) => Some(said),
                _ => None,
            })
            .collect()
    };
    let mut all = said(&SERIAL);
    all.extend(said(&TELEGRAMS));
    for kind in Said::ALL {
        assert!(all.contains(&kind), "{}", kind.word());
    }
}

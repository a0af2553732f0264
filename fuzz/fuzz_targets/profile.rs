//! Any text is a profile or has faults with places in it; its examples run; its faults can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lineside::diagnostic::Diagnostics;
use lineside::model::SlotName;
use lineside::profile::{FileFault, Files, Profile};
use std::path::Path;

struct One<'a>(&'a str);

impl Files for One<'_> {
    fn read(&self, _: &Path) -> Result<String, FileFault> {
        Ok(self.0.to_owned())
    }
}

fuzz_target!(|text: &str| {
    let mut out = Diagnostics::new();
    let profile = Profile::load(Path::new("p.toml"), Path::new(""), &One(text), &mut out);
    if let Some(profile) = profile {
        profile.run_examples(None, &mut out);
        let slot = SlotName::new("st10", "s");
        assert_eq!(profile.plan(&slot).slot, slot);
    } else {
        assert!(out.has_errors());
    }
    assert_eq!(out.render(false).is_empty(), out.is_empty());
    assert!(out.to_json().is_array());
});

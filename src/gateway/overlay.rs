//! Device files as they would be: some texts in the place of what is installed, or another folder in the place of the
//! profiles folder. Everything else is read from disk, and relative paths go on as if installed.
//!
//! Owns what stands in which place. Writes nothing.

use super::devices::accepted::Accepted;
use crate::model::SlotName;
use crate::profile::{FileFault, Files};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What stands in the place of installed files. Paths are relative to the profiles folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlay {
    /// Read in the place of the profiles folder.
    folder: Option<PathBuf>,
    texts: BTreeMap<PathBuf, Text>,
}

/// One text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Text {
    text: String,
    /// As it is shown in what is said of it.
    shown: PathBuf,
}

impl Overlay {
    /// Nothing: what is installed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Another folder in the place of the profiles folder. Files that it does not have and that are no profiles (passwords,
    /// certificates) are those of the installed one.
    #[must_use]
    pub fn folder(folder: &Path) -> Self {
        Self {
            folder: Some(folder.to_owned()),
            texts: BTreeMap::new(),
        }
    }

    /// What the gateway last accepted for a slot.
    #[must_use]
    pub fn accepted(accepted: &Accepted) -> Self {
        let mut overlay = Self::new();
        for (path, text) in &accepted.files {
            let shown = PathBuf::from(format!("{} (as accepted)", path.display()));
            overlay.put(path, text.clone(), &shown);
        }
        overlay
    }

    /// `text` in the place of the file at `path`; what is said of it names `shown`.
    pub fn put(&mut self, path: &Path, text: String, shown: &Path) {
        let shown = shown.to_owned();
        self.texts.insert(path.to_owned(), Text { text, shown });
    }

    /// `text` in the place of the device file of a slot.
    pub fn replace(&mut self, slot: &SlotName, text: String, shown: &Path) {
        self.put(Path::new(&format!("{slot}.toml")), text, shown);
    }

    /// Files as they would be, of this profiles folder.
    #[must_use]
    pub fn over<'a>(&'a self, profiles: &'a Path) -> Over<'a> {
        Over {
            overlay: self,
            profiles,
        }
    }

    /// Where device files are looked for.
    #[must_use]
    pub fn device_files<'a>(&'a self, profiles: &'a Path) -> &'a Path {
        self.folder.as_deref().unwrap_or(profiles)
    }
}

/// Files as they would be.
#[derive(Debug, Clone, Copy)]
pub struct Over<'a> {
    overlay: &'a Overlay,
    profiles: &'a Path,
}

impl Over<'_> {
    /// Where `path` is read, if it stands under the profiles folder and another folder stands in its place.
    fn elsewhere(&self, path: &Path) -> Option<PathBuf> {
        let folder = self.overlay.folder.as_ref()?;
        let inside = path.strip_prefix(self.profiles).ok()?;
        let there = folder.join(inside);
        let profile = inside.extension().is_some_and(|ending| ending == "toml");
        (profile || there.exists()).then_some(there)
    }

    fn text(&self, path: &Path) -> Option<&Text> {
        self.overlay.texts.get(path.strip_prefix(self.profiles).ok()?)
    }
}

impl Files for Over<'_> {
    fn read(&self, path: &Path) -> Result<String, FileFault> {
        if let Some(text) = self.text(path) {
            return Ok(text.text.clone());
        }
        super::setup::Disk.read(self.elsewhere(path).as_deref().unwrap_or(path))
    }

    fn shown(&self, path: &Path) -> PathBuf {
        match self.text(path) {
            Some(text) => text.shown.clone(),
            None => self.elsewhere(path).unwrap_or_else(|| path.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stands_in_the_place_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.toml"), "disk").unwrap();
        std::fs::write(folder.path().join("st10.spindle-1.toml"), "installed").unwrap();
        let mut overlay = Overlay::new();
        let slot = SlotName::new("st10", "spindle-1");
        overlay.replace(&slot, "new".to_owned(), Path::new("NEW.toml"));
        let files = overlay.over(folder.path());
        let device = folder.path().join("st10.spindle-1.toml");
        assert_eq!(files.read(&device), Ok("new".to_owned()));
        assert_eq!(files.shown(&device), Path::new("NEW.toml"));
        assert_eq!(files.read(&folder.path().join("a.toml")), Ok("disk".to_owned()));
        assert_eq!(files.read(&folder.path().join("b.toml")), Err(FileFault::Missing));
    }

    #[test]
    fn another_folder_stands_in_the_place_of_the_profiles() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (folder, name) in [
            (&old, "a.toml"),
            (&old, "gone.toml"),
            (&old, "password"),
            (&new, "a.toml"),
        ] {
            std::fs::write(folder.path().join(name), folder.path().join(name).display().to_string()).unwrap();
        }
        let overlay = Overlay::folder(new.path());
        let files = overlay.over(old.path());
        let (a, password) = (old.path().join("a.toml"), old.path().join("password"));
        assert_eq!(files.read(&a), Ok(new.path().join("a.toml").display().to_string()));
        assert_eq!(files.shown(&a), new.path().join("a.toml"));
        // A profile that it does not have is not there; a password is the installed one.
        assert_eq!(files.read(&old.path().join("gone.toml")), Err(FileFault::Missing));
        assert_eq!(files.read(&password), Ok(password.display().to_string()));
    }
}

//! The current configuration, told to whoever follows it, and its file.

use super::value::object;
use super::{Config, Overrides, limits};
use serde_json::{Map, Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Why a configuration can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is there but can't be read.
    #[error("can't read the configuration {path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// More than [`limits::FILE_BYTES`].
    #[error("the configuration {path} is larger than {} MiB", limits::FILE_BYTES >> 20)]
    Size {
        /// The file.
        path: PathBuf,
    },
    /// It isn't JSON.
    #[error("the configuration {path} is not JSON: line {line}, column {column}: {what}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// The broken rule.
        what: String,
    },
    /// It is JSON, but not an object.
    #[error("the configuration {path} is not a JSON object")]
    NotObject {
        /// The file.
        path: PathBuf,
    },
}

/// Why a configuration can't be saved. The file is as it was before.
#[derive(Debug, thiserror::Error)]
#[error("can't save the configuration {path}: {step}: {cause}")]
pub struct SaveError {
    /// The file.
    pub path: PathBuf,
    /// What was being done.
    pub step: &'static str,
    /// What the system says.
    pub cause: io::Error,
}

/// The current configuration and its file.
#[derive(Debug)]
pub struct ConfigStore {
    path: Option<PathBuf>,
    current: watch::Sender<Arc<Config>>,
    // Held over read, change and send, so that two changes at once can't lose one.
    changing: Mutex<()>,
    saving: Mutex<()>,
    dirty: AtomicBool,
}

impl ConfigStore {
    /// Loads a file; one that isn't there is an empty configuration.
    ///
    /// # Errors
    /// It can't be read, or isn't a JSON object. Wrong values inside are no error: see [`Config::problems`].
    pub fn load(path: &Path, over: Overrides) -> Result<Self, LoadError> {
        let doc = read(path)?;
        Ok(Self::new(Some(path.to_owned()), doc, over))
    }

    /// A configuration without a file, for tests and programs around this library.
    pub fn in_memory(doc: Value) -> Self {
        Self::new(None, doc, Overrides::default())
    }

    fn new(path: Option<PathBuf>, mut doc: Value, over: Overrides) -> Self {
        let dirty = over.account.is_some() || over.prometheus.is_some();
        if let Some((user, hash)) = &over.account {
            set_account(&mut doc, user, hash);
        }
        if let Some(passphrase) = &over.prometheus {
            member(&mut doc, "config").insert("prometheus".to_owned(), json!(passphrase));
        }
        let (current, _) = watch::channel(Arc::new(Config::new(doc, over)));
        Self {
            path,
            current,
            changing: Mutex::new(()),
            saving: Mutex::new(()),
            dirty: AtomicBool::new(dirty),
        }
    }

    /// The configuration as it is now.
    pub fn current(&self) -> Arc<Config> {
        self.current.borrow().clone()
    }

    /// Follows changes.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Config>> {
        self.current.subscribe()
    }

    /// Changes the document. Followers are told if it is different afterwards; the file stays until
    /// [`Self::save`].
    pub fn update<R>(&self, change: impl FnOnce(&mut Value) -> R) -> R {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.current();
        let mut doc = before.document().clone();
        let r = change(&mut doc);
        if doc != *before.document() {
            self.dirty.store(true, Ordering::Release);
            let next = Config::with_history(doc, before.overrides().clone(), before.ran_commands());
            self.current.send_replace(Arc::new(next));
        }
        r
    }

    /// Makes or updates an account.
    pub fn set_account(&self, user: &str, password_hash: &str) {
        self.update(|doc| set_account(doc, user, password_hash));
    }

    /// Whether there are changes that are not in the file.
    pub fn dirty(&self) -> bool {
        self.dirty.load(Ordering::Acquire)
    }

    /// Writes the configuration: killed at any moment, the file is the old or the new one. Blocks on the disk.
    ///
    /// # Errors
    /// The folder is read-only, the disk is full and the like; the old file stays.
    pub fn save(&self) -> Result<(), SaveError> {
        let Some(path) = &self.path else { return Ok(()) };
        let _one = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        self.dirty.store(false, Ordering::Release);
        let config = self.current();
        write(path, config.document()).inspect_err(|_| self.dirty.store(true, Ordering::Release))
    }

    /// Saves if there is something to save, and says in one log line when that fails.
    pub fn save_or_log(&self) {
        if self.dirty()
            && let Err(e) = self.save()
        {
            tracing::error!("{e}");
        }
    }
}

fn read(path: &Path) -> Result<Value, LoadError> {
    let failed = |cause| LoadError::Read { path: path.to_owned(), cause };
    let file = match File::open(path) {
        Ok(f) => f,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Value::Object(Map::new())),
        Err(e) => return Err(failed(e)),
    };
    let mode = file.metadata().map_err(failed)?.mode();
    let mut bytes = Vec::new();
    file.take(limits::FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limits::FILE_BYTES {
        return Err(LoadError::Size { path: path.to_owned() });
    }
    let doc = parse(path, &bytes)?;
    if mode & 0o077 != 0 && doc.get("account").is_some() {
        tracing::warn!(
            "{} holds password hashes and others may read it; it becomes private when it is saved",
            path.display()
        );
    }
    Ok(doc)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Value, LoadError> {
    // Editors of other systems put a byte-order mark in front; an empty file is what `touch` leaves.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Object(Map::new()));
    }
    let doc: Value = serde_json::from_slice(bytes).map_err(|e| LoadError::Json {
        path: path.to_owned(),
        line: e.line(),
        column: e.column(),
        what: e.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
    })?;
    if !doc.is_object() {
        return Err(LoadError::NotObject { path: path.to_owned() });
    }
    Ok(doc)
}

fn write(path: &Path, doc: &Value) -> Result<(), SaveError> {
    let failed = |step| move |cause| SaveError { path: path.to_owned(), step, cause };
    let mut text = serde_json::to_vec_pretty(doc).map_err(|e| failed("making JSON")(e.into()))?;
    text.push(b'\n');
    // A link stays a link: what it points to is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = match target.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temp = folder.join(name);
    // What a killed save left behind. Made anew and never followed, in case somebody put a link there.
    match fs::remove_file(&temp) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(failed("removing an old temporary file")(e));
        }
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temp)
        .map_err(failed("making a file beside it"))?;
    if let Ok(old) = fs::metadata(&target) {
        // Saved by root, it stays readable for the user that the server runs as next time.
        let _ = std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()));
    }
    let done = file
        .write_all(&text)
        .and_then(|()| file.sync_all())
        .map_err(failed("writing"))
        .and_then(|()| fs::rename(&temp, &target).map_err(failed("replacing the old file")));
    if done.is_err() {
        let _ = fs::remove_file(&temp);
        return done;
    }
    // The new name must be on the disk as well. The file is complete either way, so a failure changes nothing.
    let _ = File::open(&folder).and_then(|d| d.sync_all());
    Ok(())
}

/// A member of the document that is an object, made if it isn't there.
pub(crate) fn member<'d>(doc: &'d mut Value, key: &str) -> &'d mut Map<String, Value> {
    object(object(doc).entry(key).or_insert(Value::Null))
}

fn set_account(doc: &mut Value, user: &str, hash: &str) {
    // Other members of the account are kept.
    let account = object(member(doc, "account").entry(user).or_insert(Value::Null));
    account.insert("password".to_owned(), json!(hash));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn load(path: &Path) -> ConfigStore {
        ConfigStore::load(path, Overrides::default()).unwrap()
    }

    #[test]
    fn unknown_members_survive_and_the_file_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.json");
        let doc = json!({"account": {"u": {"password": "0123456789abcdef0123456789abcdef", "x": 1}},
            "location": {"lat": 1.5}, "future": [1, null, "ü"], "streams": {"a": {"source": "push://", "q": {}}}});
        fs::write(&path, serde_json::to_vec(&doc).unwrap()).unwrap();
        let s = load(&path);
        assert!(!s.dirty());
        s.save().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(serde_json::from_slice::<Value>(&fs::read(&path).unwrap()).unwrap(), doc);
        s.set_account("u", "ffffffffffffffffffffffffffffffff");
        assert!(s.dirty());
        s.save().unwrap();
        assert!(!s.dirty());
        let again = load(&path).current();
        assert_eq!(again.document()["account"]["u"]["x"], 1);
        assert_eq!(again.accounts().next(), Some(("u", "ffffffffffffffffffffffffffffffff")));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn what_a_killed_save_left_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.json");
        fs::write(&path, "{\"old\": 1}").unwrap();
        fs::write(dir.path().join("c.json.new"), "{\"half wri").unwrap();
        let s = load(&path);
        assert_eq!(s.current().document()["old"], 1);
        s.update(|d| d["new"] = json!(2));
        s.save().unwrap();
        assert_eq!(load(&path).current().document(), &json!({"old": 1, "new": 2}));
    }

    #[test]
    fn a_link_beside_the_file_is_not_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let (path, victim) = (dir.path().join("c.json"), dir.path().join("victim"));
        fs::write(&victim, "keep").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join("c.json.new")).unwrap();
        let s = load(&path);
        s.update(|d| d["a"] = json!(1));
        s.save().unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "keep");
    }

    #[test]
    fn a_linked_configuration_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (path, real) = (dir.path().join("c.json"), dir.path().join("real.json"));
        fs::write(&real, "{}").unwrap();
        std::os::unix::fs::symlink(&real, &path).unwrap();
        let s = load(&path);
        s.update(|d| d["a"] = json!(1));
        s.save().unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        assert_eq!(load(&real).current().document()["a"], 1);
    }

    #[test]
    fn a_failed_save_leaves_the_old_file_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gone").join("c.json");
        let s = load(&path);
        s.update(|d| d["a"] = json!(1));
        let e = s.save().unwrap_err();
        assert!(e.to_string().contains("making a file beside it"), "{e}");
        assert!(s.dirty());
    }

    #[test]
    fn errors_have_line_and_column() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.json");
        let error = |text: &[u8]| {
            fs::write(&path, text).unwrap();
            ConfigStore::load(&path, Overrides::default()).unwrap_err().to_string()
        };
        let e = error(b"{\n  \"a\": 1,\n  oops\n}");
        assert!(e.ends_with("is not JSON: line 3, column 3: key must be a string"), "{e}");
        assert!(error(b"[]").ends_with("is not a JSON object"));
        assert!(error(b"{\"a\": \"\\ud800\"}").contains("line 1"));
        let deep = [b"{\"a\":".as_slice(), &[b'['; 100_000]].concat();
        assert!(error(&deep).contains("recursion limit"));
        for fine in ["", " \n", "\u{feff}{}", "{}"] {
            fs::write(&path, fine).unwrap();
            assert_eq!(load(&path).current().document(), &json!({}), "{fine:?}");
        }
        assert!(ConfigStore::load(dir.path(), Overrides::default()).is_err(), "a folder");
        File::create(&path).unwrap().set_len(limits::FILE_BYTES + 1).unwrap();
        let e = ConfigStore::load(&path, Overrides::default()).unwrap_err();
        assert!(e.to_string().ends_with("is larger than 64 MiB"), "{e}");
    }

    #[test]
    fn followers_hear_of_changes_only() {
        let s = ConfigStore::in_memory(json!({}));
        let mut rx = s.subscribe();
        rx.mark_unchanged();
        s.update(|_| ());
        assert!(!rx.has_changed().unwrap());
        s.update(|d| member(d, "streams").insert("a".into(), json!({"source": "push://"})));
        assert!(rx.has_changed().unwrap());
        assert!(rx.borrow_and_update().stream("a").is_some());
    }

    #[test]
    fn accounts_and_passphrase_from_the_command_line_go_into_the_document() {
        let over = Overrides {
            account: Some(("u".into(), "0".repeat(32))),
            prometheus: Some("pass".into()),
            port: Some(1),
            ..Overrides::default()
        };
        let s = ConfigStore::new(None, json!({}), over);
        assert!(s.dirty());
        let c = s.current();
        assert_eq!((c.accounts().count(), c.prometheus(), c.controller().port), (1, Some("pass"), 1));
        assert!(c.document().pointer("/config/controller").is_none(), "the port is for this run only");
    }
}

//! A plugin that panics gives an error with the panic's message and place, not a page of text on the terminal.

use crate::plugin::Kind;
use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, Once};
use std::thread::{ThreadId, current};

/// A panic that was caught.
#[derive(Clone, Debug, PartialEq)]
pub struct Panic {
    /// Its message.
    pub text: String,
    /// File and line, where they are known.
    pub place: Option<(String, u32)>,
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.place {
            Some((file, line)) => write!(f, "panicked at {file}:{line}: {}", self.text),
            None => write!(f, "panicked: {}", self.text),
        }
    }
}

impl Panic {
    /// The plugin whose file it happened in, such as `model/NAME.rs` or one below `model/NAME/`, if it is one.
    pub fn plugin(&self, is_known: impl Fn(Kind, &str) -> bool) -> Option<(Kind, String)> {
        let parts: Vec<&str> = Path::new(&self.place.as_ref()?.0).iter().filter_map(|part| part.to_str()).collect();
        parts.windows(2).find_map(|pair| {
            let kind = Kind::ALL.into_iter().find(|kind| kind.word() == pair[0])?;
            let name = pair[1].strip_suffix(".rs").unwrap_or(pair[1]);
            is_known(kind, name).then(|| (kind, name.to_string()))
        })
    }
}

/// A panic as the hook saw it, on the thread where it happened.
struct Seen {
    thread: ThreadId,
    panic: Panic,
}

/// How many calls of [`catch`] are under way, and what the hook saw meanwhile.
static SEEN: Mutex<(usize, Vec<Seen>)> = Mutex::new((0, Vec::new()));
static HOOK: Once = Once::new();

thread_local! {
    /// Whether a call of [`catch`] is under way on this thread.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Panics that a plugin caught by itself are never asked for; so many are kept.
const KEPT: usize = 64;

/// Does some work; a panic in it, on whatever thread, is an error. Nothing is printed of a panic on this thread or on one
/// of rayon's, which may have worked for it; panics of other threads are printed as ever.
///
/// # Errors
/// The panic, with its message and place.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    HOOK.call_once(install);
    let _quiet = Quiet::begin();
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| recognise(message(&*payload)))
}

/// The hook stays for good, so that a hook laid over it later is not taken away with it.
fn install() {
    let before = take_hook();
    set_hook(Box::new(move |info| {
        note(info);
        if !CATCHING.get() && rayon::current_thread_index().is_none() {
            before(info);
        }
    }));
}

fn seen() -> MutexGuard<'static, (usize, Vec<Seen>)> {
    SEEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Keeps a panic if somebody will ask for it.
fn note(info: &PanicHookInfo) {
    let mut seen = seen();
    if seen.0 > 0 {
        if seen.1.len() >= KEPT {
            seen.1.remove(0);
        }
        let place = info.location().map(|at| (at.file().to_string(), at.line()));
        seen.1.push(Seen { thread: current().id(), panic: Panic { text: message(info.payload()), place } });
    }
}

/// The panic with this message: of this thread, or of one that worked for it.
fn recognise(text: String) -> Panic {
    let mut seen = seen();
    let here = current().id();
    let alike = |s: &Seen| s.panic.text == text;
    let at = seen.1.iter().rposition(|s| alike(s) && s.thread == here).or_else(|| seen.1.iter().rposition(alike));
    at.map_or(Panic { text, place: None }, |i| seen.1.remove(i).panic)
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| s.to_string());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

/// While one lives, panics are kept, and those of its thread are not printed.
struct Quiet {
    outer: bool,
}

impl Quiet {
    fn begin() -> Self {
        seen().0 += 1;
        Self { outer: CATCHING.replace(true) }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        CATCHING.set(self.outer);
        let mut seen = seen();
        seen.0 -= 1;
        if seen.0 == 0 {
            seen.1.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    #[test]
    fn a_panic_on_any_thread_is_caught_with_its_place() {
        assert_eq!(catch(|| 3), Ok(3));
        let panic = catch(|| panic!("here {}", 1)).unwrap_err();
        assert_eq!(panic.text, "here 1");
        assert!(panic.place.clone().unwrap().0.ends_with("panics.rs"), "{panic:?}");
        let all = catch(|| (0..100).into_par_iter().map(|i| if i == 77 { panic!("there") } else { i }).sum::<i32>());
        let panic = all.unwrap_err();
        let words = panic.to_string();
        assert!(words.starts_with("panicked at ") && words.ends_with(": there"), "{words}");
        assert!(words.contains("panics.rs:"), "{words}");
        // What is no text has no text, and a call inside a call takes nothing from the outer one.
        let outer = catch(|| {
            let inner = catch(|| std::panic::panic_any(7)).unwrap_err();
            assert_eq!(inner.text, "no message");
            panic!("outer")
        });
        assert_eq!(outer.map(|()| 0).unwrap_err().text, "outer");
    }

    #[test]
    fn the_plugin_is_known_by_its_file() {
        let is_known = |kind: Kind, name: &str| (kind, name) == (Kind::Model, "gears");
        let of = |file: &str| Panic { text: "x".into(), place: Some((file.into(), 1)) }.plugin(is_known);
        let gears = Some((Kind::Model, "gears".to_string()));
        assert_eq!(of("plugins/model/gears.rs"), gears);
        assert_eq!(of("/home/me/own/src/model/gears/network.rs"), gears);
        assert_eq!(of("plugins/kernel/gears.rs"), None);
        assert_eq!(of("framework/learn/src/gears.rs"), None);
        assert_eq!(Panic { text: "x".into(), place: None }.plugin(is_known), None);
    }
}

//! A check that panics fails; it stops no other.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Mutex, Once};

thread_local! {
    /// Whether a check runs on this thread.
    static CHECKING: Cell<bool> = const { Cell::new(false) };
}

/// Where the latest panic of a check was.
static PLACE: Mutex<Option<String>> = Mutex::new(None);

/// What `check` gives, or the place and the message of its panic, of which nothing is printed. Panics of other
/// threads are printed as ever, but for those of rayon: a check may have its work done there.
pub(super) fn caught<T>(check: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if CHECKING.get() || rayon::current_thread_index().is_some() {
                *place() = info.location().map(|l| format!("{}:{}", l.file(), l.line()));
            } else {
                before(info);
            }
        }));
    });
    let outer = CHECKING.replace(true);
    *place() = None;
    let result = catch_unwind(AssertUnwindSafe(check));
    CHECKING.set(outer);
    result.map_err(|payload| {
        let place = place().take().unwrap_or_else(|| "an unknown place".into());
        let text = payload.downcast_ref::<&str>().map(|s| s.to_string());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        format!("{place}: {}", text.unwrap_or_else(|| "no message".into()))
    })
}

fn place() -> std::sync::MutexGuard<'static, Option<String>> {
    PLACE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

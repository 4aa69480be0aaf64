//! cubecl and the libraries below it report some failures by panicking, partly on threads of their own, where the
//! caller would notice nothing. A hook notes such panics instead of printing them.

use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::{Mutex, Once};

static NOTED: Mutex<Option<String>> = Mutex::new(None);
/// One call on a device at a time, so that a noted panic belongs to the call that finds it.
static BUSY: Mutex<()> = Mutex::new(());
static HOOK: Once = Once::new();

/// Crates whose panics are failures of a device.
const BELOW: [&str; 6] = ["cubecl", "wgpu", "cudarc", "naga", "gpu-allocator", "/ash-"];

/// Runs `work`; `Err` with the message when anything panicked below it, on whatever thread.
pub fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    install();
    let _busy = BUSY.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    take_noted();
    let result = catch_unwind(AssertUnwindSafe(work));
    let noted = take_noted();
    match (result, noted) {
        (Ok(value), None) => Ok(value),
        (_, Some(message)) => Err(message),
        (Err(payload), None) => Err(brief(&text(payload.as_ref()))),
    }
}

fn install() {
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if is_below(info) {
                let mut noted = NOTED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                noted.get_or_insert_with(|| brief(&text(info.payload())));
            } else {
                before(info);
            }
        }));
    });
}

fn is_below(info: &PanicHookInfo) -> bool {
    info.location().is_some_and(|at| BELOW.iter().any(|name| at.file().contains(name)))
}

fn take_noted() -> Option<String> {
    NOTED.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
}

fn text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| s.to_string());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

/// A message from below on one line, without its stack, shortened.
pub fn brief(text: &str) -> String {
    let text = text.replace("\\n", "\n");
    let message = text.split("Backtrace").next().unwrap_or_default();
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.chars().take(400).collect();
    if line.is_empty() { "no message".into() } else { line.trim_end_matches(['.', ' ']).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        assert_eq!(quietly(|| 3), Ok(3));
        let before = take_hook();
        set_hook(Box::new(|_| {}));
        let failed: Result<(), String> = quietly(|| panic!("the bus fell off"));
        set_hook(before);
        assert_eq!(failed, Err("the bus fell off".into()));
    }
}

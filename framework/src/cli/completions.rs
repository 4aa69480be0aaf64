use crate::error::Result;
use clap::Args;
use clap_complete::Shell;

#[derive(Args)]
pub(crate) struct Completions {
    /// Shell to complete for
    shell: Shell,
}

impl Completions {
    pub(crate) fn execute(self) -> Result<u8> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "screenwright", &mut text);
        super::print(&String::from_utf8_lossy(&text));
        Ok(super::OK)
    }
}

//! The folders below are scanned by `automod::dir!`; cargo must look again when one changes. It looks at the folders
//! of plugins in them too.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for kind in ["acquisition", "interaction", "kernel", "model", "oracle", "prior"] {
        println!("cargo:rerun-if-changed={kind}");
    }
}

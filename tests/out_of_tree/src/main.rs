use plugins as _; // the plugins that come with the program; leave the line out to have only your own
fn main() -> std::process::ExitCode {
    // The test suite asks for the conformance suite through this binary; your own crate has it as a test.
    if std::env::args().nth(1).as_deref() == Some("conformance") {
        framework::testing::conformance();
        return std::process::ExitCode::SUCCESS;
    }
    framework::cli::main()
}

mod annotation_count;
mod broken;
mod far_and_uncertain;
mod pathway_screen;
mod rational_quadratic;
mod right_direction;

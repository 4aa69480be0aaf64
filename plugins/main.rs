use plugins as _; // without this line the linker drops every plugin
fn main() -> std::process::ExitCode {
    framework::cli::main()
}

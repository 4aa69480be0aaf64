//! Every plugin of the catalogue, by the rules of its kind: all of them, or one with
//! `PLUGIN=its_name cargo test --test conformance`.

use framework::testing::{conformance, conformance_of};
use plugins as _;

#[test]
fn the_whole_catalogue_conforms() {
    match std::env::var("PLUGIN") {
        Ok(name) => conformance_of(&name),
        Err(_) => conformance(),
    }
}

#[test]
#[should_panic(expected = "no plugin is called `rigde`; did you mean `ridge`?")]
fn a_plugin_that_is_not_there_is_no_success() {
    conformance_of("rigde");
}

//! Every plugin of the catalogue, by the rules of its kind.

use plugins as _;

#[test]
fn the_whole_catalogue_conforms() {
    framework::testing::conformance();
}

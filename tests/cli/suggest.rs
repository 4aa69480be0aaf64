//! The next batch of a real screen.

use crate::common::*;

#[test]
fn with_a_campaign_and_without_a_model() {
    let mut s = Session::new();
    table_scenario(s.path());
    s.write("done.csv", "gene,value\nG001,0.5\nG010,1.5\nG020,-0.5\nG030,0.25\nG031,0.3\n");
    let campaign = "name = \"next\"\nbatch = 5\nseed = 3\n[target]\ndirection = \"max\"\n[pool]\npath = \"screen.csv\"\n\
        [measured]\npath = \"done.csv\"\nvalues = [\"value\"]\n[prior.p]\nuse = \"embedding_table\"\npath = \"prior.csv\"\n\
        [model]\nuse = \"gp\"\n[acquisition]\nuse = \"ucb\"\n";
    s.write("campaign.toml", campaign);
    let r = s.run(0, "suggest campaign.toml");
    assert_eq!(r.out.lines().count(), 6);
    assert_eq!(r.out, s.silently(0, "suggest campaign.toml").out, "the same seed gives the same batch");
    for measured in ["G001,", "G010,", "G020,"] {
        assert!(!r.out.contains(measured), "{measured} is measured already");
    }
    s.run(0, "suggest campaign.toml --out next.csv");
    assert_eq!(s.read("next.csv"), r.out);
    let r = s.run(0, "suggest --features prior.csv --measured done.csv --rule max_dist --batch 3");
    assert_eq!(r.out.lines().count(), 4);

    s.mistake("suggest bad.toml", campaign, "batch = 5", "batch = 36");
    s.mistake("suggest bad.toml", campaign, "use = \"ucb\"", "use = \"ubc\"");
    s.note("an unknown gene in done.csv");
    s.write("done.csv", "gene,value\nG001,0.5\nG01,1.5\n");
    s.run(2, "suggest campaign.toml");
    s.run(2, "suggest --features prior.csv --rule greedy --batch 3");
    s.run(2, "suggest");
    s.matches("suggest");
}

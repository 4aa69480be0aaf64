use std::path::Path;
use std::time::Instant;
use table::*;
fn threads() -> String {
    std::fs::read_to_string("/proc/self/status").unwrap().lines().find(|l| l.starts_with("Threads")).unwrap().to_string()
}
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let out = Path::new(&args[1]);
    std::fs::create_dir_all(out).unwrap();
    for f in &args[2..] {
        for _ in 0..3 {
            let t = Instant::now();
            let r = read(Path::new(f));
            println!("{f}: {:?} ms {}", t.elapsed().as_secs_f64() * 1e3, match &r { Ok(t) => format!("{} x {} numeric {}", t.height(), t.names().len(), t.numeric_columns().len()), Err(e) => e.to_string() });
        }
        if let Ok(t) = read(Path::new(f)) {
            println!("   text {:?}", t.names().into_iter().filter(|n| !t.numeric_columns().contains(n)).collect::<Vec<_>>());
            let stem = f.rsplit('/').next().unwrap();
            let b = Instant::now();
            write_parquet(&t, &out.join(format!("{stem}.parquet"))).unwrap();
            println!("   write parquet {:?}", b.elapsed());
            write_csv(&t, &out.join(format!("{stem}.csv"))).unwrap();
            if let Err(e) = write_json(&t, &out.join(format!("{stem}.json"))) { println!("{e}"); }
        }
    }
    println!("{}", threads());
    std::panic::set_hook(Box::new(|i| println!("panic {}", i.location().unwrap())));
    let fix = Path::new("tests/pyarrow_types.parquet");
    let whole = std::fs::read(fix).unwrap();
    let p = out.join("fuzz.parquet");
    let (mut ok, mut err) = (0, 0);
    let b = Instant::now();
    for x in [0x01u8, 0x80, 0xff, 0x55] {
        for at in 4..whole.len() - 4 {
            let mut d = whole.clone();
            d[at] ^= x;
            std::fs::write(&p, d).unwrap();
            match read(&p) { Ok(_) => ok += 1, Err(e) => { err += 1; if at % 997 == 0 { println!("{e}"); } } }
        }
    }
    println!("fuzz ok {ok} err {err} {:?}", b.elapsed());
}

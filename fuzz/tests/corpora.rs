//! The saved corpora as an ordinary test: what a fuzzer once found stays found, on stable and without a fuzzer.

use std::fs;
use std::path::Path;

#[test]
fn corpora() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in mist_fuzz::TARGETS.iter().map(|t| t.name) {
        let body = |data: &[u8]| mist_fuzz::run(name, data);
        assert!(root.join(format!("fuzz_targets/{name}.rs")).exists(), "{name} has no target");
        let mut inputs = 0;
        body(&[]);
        for entry in fs::read_dir(root.join("corpus").join(name)).into_iter().flatten() {
            let path = entry.unwrap().path();
            let data = fs::read(&path).unwrap();
            println!("{}", path.display());
            body(&data);
            // What a corpus holds is mostly whole: also as it breaks off.
            body(&data[..data.len() / 2]);
            inputs += 1;
        }
        println!("{name}: {inputs} inputs");
        assert!(inputs > 0, "{name} has no seeds");
    }
}

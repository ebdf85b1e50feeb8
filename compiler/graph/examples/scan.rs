//! Scratch.
use std::time::Instant;
fn main() {
    let verbose = std::env::var("V").is_ok();
    for dir in std::env::args().skip(1) {
        let mut files: Vec<_> =
            if dir.ends_with(".tflite") { vec![dir.into()] } else { std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect() };
        files.sort();
        for f in files {
            let bytes = std::fs::read(&f).unwrap();
            let t = Instant::now();
            let r = cranelite_graph::import::import(&bytes, &Default::default());
            let ms = t.elapsed().as_secs_f64() * 1e3;
            let name = f.file_stem().unwrap().to_string_lossy().to_string();
            match r {
                Ok(g) => println!("{name} OK {} nodes {ms:.1} ms", g.nodes.len()),
                Err(p) => {
                    println!("{name} {} problems {ms:.1} ms", p.len());
                    for d in p {
                        if verbose || !["E0201"].contains(&d.code.0) {
                            println!("    [{}] {d}", d.place);
                        }
                    }
                }
            }
        }
    }
}

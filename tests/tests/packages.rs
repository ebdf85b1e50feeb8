//! The examples for other build systems have the files and the fields that those want.
//!
//! By the words of their documentation, since none of them is here; that the code compiles and runs is `examples.rs`'s business.

use cranelite::pipeline::{self, Options};
use cranelite::stages::Stages;
use cranelite_codegen::Target;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

fn text(path: &str) -> String {
    fs::read_to_string(examples().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Lines `name: value` or `name=value`, without those that are indented.
fn fields(path: &str, between: char) -> BTreeMap<String, String> {
    let lines = text(path);
    let pairs = lines.lines().filter(|l| !l.starts_with([' ', '#'])).filter_map(|l| l.split_once(between));
    pairs.map(|(name, value)| (name.trim().into(), value.trim().trim_matches('"').into())).collect()
}

fn is_version(version: &str) -> bool {
    version.split('.').count() == 3 && version.split('.').all(|part| part.parse::<u32>().is_ok())
}

#[test]
fn arduino_library() {
    let properties = fields("arduino/library.properties", '=');
    for name in ["name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures"] {
        assert!(properties.get(name).is_some_and(|value| !value.is_empty()), "{name}");
    }
    // Of the categories that there are.
    assert_eq!(properties["category"], "Data Processing");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " _.-".contains(c);
    assert!(properties["name"].len() < 64 && properties["name"].chars().all(is_plain) && is_version(&properties["version"]));
    assert!(examples().join("arduino/src").join(&properties["includes"]).is_file());
    // A sketch is in a folder of its name.
    for folder in fs::read_dir(examples().join("arduino/examples")).unwrap() {
        let folder = folder.unwrap().path();
        assert!(folder.join(folder.file_name().unwrap()).with_extension("ino").is_file(), "{}", folder.display());
    }
    let json: Value = serde_json::from_str(&text("arduino/library.json")).unwrap();
    assert_eq!((json["name"].as_str(), json["version"].as_str()), (Some(&*properties["name"]), Some(&*properties["version"])));
    assert!(json["description"].as_str().is_some_and(|d| d.len() <= 255) && json["license"] == "Apache-2.0");
}

#[test]
fn esp_idf_projects() {
    for project in ["esp-idf", "keyword-esp32"] {
        let cmake = text(&format!("{project}/CMakeLists.txt"));
        let order =
            ["cmake_minimum_required", "include($ENV{IDF_PATH}/tools/cmake/project.cmake)", "project("].map(|part| cmake.find(part));
        assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{project}");
        assert!(text(&format!("{project}/main/main.c")).contains("void app_main(void)"));
    }
    for component in ["esp-idf/components/digit_reader", "esp-idf/main", "keyword-esp32/main"] {
        let cmake = text(&format!("{component}/CMakeLists.txt"));
        // What follows is not run where ESP-IDF only asks for requirements, so nothing but variables may come before.
        let before: Vec<&str> = cmake.lines().take_while(|l| !l.starts_with("idf_component_register(SRCS ")).collect();
        assert!(before.len() < cmake.lines().count() && before.iter().all(|l| l.starts_with("set(")), "{component}");
    }
    let about = fields("esp-idf/components/digit_reader/idf_component.yml", ':');
    assert!(is_version(&about["version"]) && about.contains_key("dependencies"));
}

#[test]
fn zephyr_module() {
    let module = text("zephyr/zephyr/module.yml");
    for (key, file) in [("cmake: ", "/CMakeLists.txt"), ("kconfig: ", "")] {
        let value = module.lines().find_map(|l| l.trim().strip_prefix(key)).unwrap();
        assert!(examples().join(format!("zephyr/{value}{file}")).is_file(), "{key}{value}");
    }
    // What is configured exists, and what the module asks for is configured so.
    let options = text("zephyr/Kconfig");
    let configured = fields("zephyr/samples/digits/prj.conf", '=');
    let own: Vec<&str> = options.lines().filter_map(|l| l.strip_prefix("config ")).collect();
    assert!(own.iter().all(|name| configured.contains_key(&format!("CONFIG_{name}"))), "{own:?}");
    assert!(own.iter().all(|name| text("zephyr/CMakeLists.txt").contains(&format!("if(CONFIG_{name})"))));
    let sample = text("zephyr/samples/digits/CMakeLists.txt");
    let order = ["ZEPHYR_EXTRA_MODULES", "find_package(Zephyr REQUIRED HINTS $ENV{ZEPHYR_BASE})", "project(", "target_sources(app"];
    assert!(order.map(|part| sample.find(part)).is_sorted());
}

#[test]
fn platformio_project() {
    let ini = text("platformio/platformio.ini");
    let environments: Vec<&str> = ini.lines().filter_map(|l| l.strip_prefix("[env:")).collect();
    assert!(1 < environments.len());
    for environment in ini.split("[env:").skip(1) {
        for name in ["platform = ", "board = ", "custom_cranelite_options = --target "] {
            assert!(environment.lines().any(|l| l.starts_with(name)), "{name}{environment}");
        }
    }
}

/// What the page on generated C shows is in the file that it is about.
#[test]
fn generated_c() {
    let model = examples().join("digits/digits.tflite");
    let target = Target::new("thumbv7em-none-eabihf", None).expect("a target");
    let options = Options::named_after(&model);
    let bytes = fs::read(&model).expect("the model");
    let compiled = pipeline::compile(&bytes, &[target], &options, &mut Stages::none()).expect("the model compiles");
    let file = String::from_utf8(compiled.object.bytes).expect("text");
    let page = text("firmware-cortex-m4/generated-c.md");
    let pieces: Vec<&str> = page.split("```c\n").skip(1).filter_map(|rest| rest.split_once("\n```")).map(|(piece, _)| piece).collect();
    assert!(7 <= pieces.len());
    for piece in pieces {
        assert!(file.contains(piece), "not in the file any more:\n{piece}");
    }
}

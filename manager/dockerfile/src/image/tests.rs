//! Configurations as others write them.

use super::*;

#[test]
fn what_others_write_is_read_and_what_is_empty_is_left_out() {
    let written = r#"{"architecture":"amd64","os":"linux","created":"2024-01-01T00:00:00Z",
        "config":{"Env":null,"Cmd":["sh"],"ExposedPorts":{"80/tcp":{}},"Hostname":"x",
        "Healthcheck":{"Test":["CMD","x"],"Interval":1000000000},"ArgsEscaped":true},
        "rootfs":{"type":"layers","diff_ids":["sha256:a"]},
        "history":[{"created_by":"a"},{"created_by":"b","empty_layer":true}]}"#;
    let image: Image = serde_json::from_str(written).unwrap();
    assert_eq!(image.config.cmd.as_deref(), Some(&["sh".to_owned()][..]));
    assert!(!image.has_no_layers() && image.config.args_escaped);
    let config = serde_json::to_value(&image.config).unwrap();
    let expected = serde_json::json!({
        "Cmd": ["sh"], "ExposedPorts": {"80/tcp": {}}, "ArgsEscaped": true,
        "Healthcheck": {"Test": ["CMD", "x"], "Interval": 1_000_000_000},
    });
    assert_eq!(config, expected);
}

#[test]
fn nothing_has_a_directory_and_a_path() {
    let image = Image::empty(&Platform::new("linux", "arm64", "v8"));
    let expected = serde_json::json!({
        "architecture": "arm64", "os": "linux",
        "config": {"WorkingDir": "/", "Env": [format!("PATH={PATH}")]},
        "rootfs": {"type": "layers", "diff_ids": []},
    });
    assert_eq!(serde_json::to_value(&image).unwrap(), expected);
    assert!(image.has_no_layers());
}

#[test]
fn variables_keep_their_place() {
    let mut config = Config { env: vec!["A=1".into(), "B=2".into()], ..Config::default() };
    config.set_variable("A", "3=4");
    config.set_variable("C", "");
    assert_eq!(config.env, ["A=3=4", "B=2", "C="]);
}

#[test]
fn health_checks_are_written_as_buildkit_writes_them() {
    let health = Health {
        test: vec!["CMD-SHELL".into(), "curl x".into()],
        interval: 90_000_000_000,
        retries: 3,
        ..Health::default()
    };
    assert_eq!(health.to_string(), r#"&{["CMD-SHELL" "curl x"] "1m30s" "0s" "0s" "0s" '\x03'}"#);
    assert_eq!(health.plain(), "&{[CMD-SHELL curl x] 1m30s 0s 0s 0s 3}");
}

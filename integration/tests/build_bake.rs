//! `docker buildx bake`: several targets at once, some made of others.

use tare_integration::buildx::context;
use tare_integration::{Host, on_building_host};

const FILE: &str = r#"
group "default" { targets = ["app", "tool"] }
target "base" {
  context = "."
  dockerfile-inline = "FROM busybox\nRUN echo $RANDOM > /number\nENV FROM_BASE=yes\n"
}
target "app" {
  context = "."
  contexts = { base = "target:base" }
  dockerfile-inline = "FROM base\nCOPY file /file\n"
  tags = ["app"]
}
target "tool" {
  context = "."
  contexts = { base = "target:base" }
  dockerfile-inline = "FROM busybox\nCOPY --from=base /number /number\nCOPY file /\n"
  tags = ["tool"]
}
"#;

fn bake(host: &Host, targets: &str) -> tare_integration::Ran {
    let files = [("docker-bake.hcl", FILE), ("file", "shared\n")];
    let directory = context(host, "project", &files).display().to_string();
    host.docker(&format!(
        "buildx bake --progress plain --allow fs.read={directory} -f {directory}/docker-bake.hcl \
         --set '*.context={directory}' {targets}"
    ))
}

#[test]
fn targets_are_made_of_others_and_share_what_is_sent() {
    on_building_host(|host| {
        bake(host, "").code(0);
        let number =
            |image: &str| host.docker(&format!("run --rm {image} cat /number")).ok().to_owned();
        assert_eq!(number("app"), number("tool"));
        assert_eq!(host.docker("run --rm app cat /file").ok(), "shared");
        assert_eq!(host.docker("run --rm app sh -c 'echo $FROM_BASE'").ok(), "yes");
        bake(host, "app").code(0).stderr_has("CACHED");
    });
}

#[test]
fn a_target_that_fails_is_named() {
    on_building_host(|host| {
        let file = "target \"x\" {\n  dockerfile-inline = \"FROM busybox\\nRUN false\\n\"\n}\n";
        let directory =
            context(host, "project", &[("docker-bake.hcl", file)]).display().to_string();
        let failed = host.docker(&format!(
            "buildx bake --allow fs.read={directory} -f {directory}/docker-bake.hcl --set x.context={directory} x"
        ));
        failed.code(1).stderr_has("did not complete successfully: exit code: 1");
    });
}

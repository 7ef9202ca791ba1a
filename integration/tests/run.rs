//! `docker run`: what a container is given, what it prints and what it returns.

use tare_integration::on_host;

#[test]
fn in_the_foreground_it_gives_the_output_and_the_exit_code() {
    on_host(|host| {
        let ran = host.docker("run --rm busybox sh -c 'echo out; echo err >&2; exit 3'");
        ran.code(3).stdout("out\n");
        assert_eq!(ran.stderr, "err\n");
        host.docker("run --rm busybox true").code(0).stdout("");
    });
}

#[test]
fn detached_it_prints_the_id_and_goes_on() {
    on_host(|host| {
        let id = host.docker("run -d --name sleeper busybox sleep 1000").ok().to_owned();
        assert_eq!(id.len(), 64);
        assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert_eq!(host.inspect("sleeper", "{{.Id}} {{.State.Running}}"), format!("{id} true"));
    });
}

#[test]
fn input_is_passed_on_and_its_end_too() {
    on_host(|host| {
        let ran =
            host.docker_with_input("run --rm -i busybox sh -c 'cat; echo end'", b"one\ntwo\n");
        ran.code(0).stdout("one\ntwo\nend\n");
        // Without -i there is no input, even if there is one.
        host.docker_with_input("run --rm busybox cat", b"unread").code(0).stdout("");
    });
}

#[test]
fn much_output_arrives_whole_and_in_order() {
    on_host(|host| {
        let ran = host.docker("run --rm busybox seq 1 200000");
        let expected: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
        assert!(ran.code(0).stdout == expected, "{} of {}", ran.stdout.len(), expected.len());
    });
}

#[test]
fn rm_removes_it_at_its_end() {
    on_host(|host| {
        host.docker("run --rm --name gone busybox true").ok();
        host.docker("run --rm --name failed busybox false").code(1);
        host.docker("ps -aq").code(0).stdout("");
        host.docker("run -d --rm --name later busybox sleep 1000").ok();
        host.docker("stop -t 0 later").ok();
        tare_integration::wait::until_true("the removal", || host.docker("ps -aq").ok().is_empty());
    });
}

#[test]
fn a_name_is_given_or_found() {
    on_host(|host| {
        host.docker("run --name mine busybox true").ok();
        assert_eq!(host.inspect("mine", "{{.Name}}"), "/mine");
        let id = host.docker("create busybox true").ok().to_owned();
        let name = host.inspect(&id, "{{.Name}}");
        let (first, second) = name.trim_start_matches('/').split_once('_').expect("two words");
        assert!(!first.is_empty() && !second.is_empty(), "{name}");
    });
}

#[test]
fn the_environment_is_the_images_with_the_users_over_it() {
    on_host(|host| {
        let ran = host.docker("run --rm -h here -e NEW=1 -e FROM_IMAGE=no busybox env");
        let mut lines = ran.lines();
        lines.sort_unstable();
        let expected =
            ["FROM_IMAGE=no", "HOME=/root", "HOSTNAME=here", "NEW=1", "PATH=/bin:/usr/bin"];
        assert_eq!(lines, expected);
        host.docker("run --rm -e FROM_IMAGE busybox sh -c 'echo ${FROM_IMAGE-unset}'")
            .code(0)
            .stdout("unset\n");
    });
}

#[test]
fn the_working_directory_is_made_if_there_is_none() {
    on_host(|host| {
        host.docker("run --rm -w /tmp busybox pwd").code(0).stdout("/tmp\n");
        host.docker("run --rm -w /a/b/c busybox pwd").code(0).stdout("/a/b/c\n");
        host.docker("run --rm busybox pwd").code(0).stdout("/\n");
    });
}

#[test]
fn users_are_found_by_name_and_by_number() {
    on_host(|host| {
        let id = |user: &str| host.docker(&format!("run --rm {user} busybox id")).ok().to_owned();
        assert_eq!(id(""), "uid=0(root) gid=0(root) groups=0(root)");
        assert_eq!(id("-u alice"), "uid=1000(alice) gid=1000(alice) groups=29(audio),1000(alice)");
        assert_eq!(id("-u 1000"), "uid=1000(alice) gid=1000(alice) groups=29(audio),1000(alice)");
        assert_eq!(id("-u alice:audio"), "uid=1000(alice) gid=29(audio) groups=29(audio)");
        assert_eq!(id("-u 12:34"), "uid=12 gid=34 groups=34");
        host.docker("run --rm -u alice busybox sh -c 'echo $HOME'").stdout("/home/alice\n");
        host.docker("run -u nobody-here busybox true")
            .code(125)
            .stderr_has("unable to find user nobody-here");
    });
}

#[test]
fn the_host_name_is_the_short_id_or_the_one_asked_for() {
    on_host(|host| {
        host.docker("run --rm -h box.example busybox hostname").code(0).stdout("box.example\n");
        let name = host.docker("run --name c1 busybox hostname").ok().to_owned();
        assert_eq!(name, host.inspect("c1", "{{.Id}}")[..12]);
        host.docker("run --rm -h box busybox grep -c box /etc/hosts").code(0).stdout("1\n");
    });
}

#[test]
fn an_entrypoint_takes_the_command_as_arguments() {
    on_host(|host| {
        host.docker("run --rm --entrypoint echo busybox one two").code(0).stdout("one two\n");
        let change =
            r#"--change 'ENTRYPOINT ["echo", "from the image"]' --change 'CMD ["default"]'"#;
        let tar = tare_integration::images::busybox_tar();
        host.docker_with_input(&format!("import {change} - entry"), tar).ok();
        host.docker("run --rm entry").code(0).stdout("from the image default\n");
        host.docker("run --rm entry other").code(0).stdout("from the image other\n");
        host.docker("run --rm --entrypoint /bin/pwd entry").code(0).stdout("/\n");
    });
}

#[test]
fn exit_codes_are_dockers() {
    on_host(|host| {
        let code = |words: &str| host.docker(&format!("run --rm {words}")).code;
        assert_eq!(code("busybox sh -c 'exit 42'"), 42);
        assert_eq!(code("--init busybox sh -c 'kill -9 $$'"), 137);
        assert_eq!(code("--init busybox sh -c 'kill -15 $$'"), 143);
        assert_eq!(code("--no-such-flag busybox true"), 125);
        assert_eq!(code("--memory 1k busybox true"), 125);
        let missing = host.docker("run --name missing busybox /no/such/program");
        missing.code(127).stderr_has("no such file or directory");
        missing.stderr_has("/no/such/program");
        host.docker("run --rm busybox no-such-program")
            .code(127)
            .stderr_has("executable file not found in $PATH");
        host.docker("run --rm busybox /etc").code(126).stderr_has("/etc");
        host.docker("run --rm busybox /etc/passwd").code(126).stderr_has("permission denied");
        // A container whose program cannot be started stays, as created.
        assert_eq!(host.inspect("missing", "{{.State.Status}} {{.State.ExitCode}}"), "created 127");
    });
}

#[test]
fn directories_of_the_host_can_be_mounted() {
    on_host(|host| {
        let shared = host.scratch("shared");
        std::fs::write(shared.join("file"), "from the host\n").expect("write a file");
        let shared = shared.display();
        host.docker(&format!("run --rm -v {shared}:/s busybox cat /s/file"))
            .code(0)
            .stdout("from the host\n");
        host.docker(&format!("run --rm -v {shared}:/s busybox sh -c 'echo back > /s/new'")).ok();
        let back = std::fs::read_to_string(format!("{shared}/new")).expect("read the new file");
        assert_eq!(back, "back\n");
        host.docker(&format!("run --rm -v {shared}:/s:ro busybox touch /s/other"))
            .code(1)
            .stderr_has("Read-only file system");
        host.docker(&format!("run --rm -v {shared}/file:/etc/motd:ro busybox cat /etc/motd"))
            .code(0)
            .stdout("from the host\n");
        // What is missing on the host is made as a directory.
        host.docker(&format!("run --rm -v {shared}/made/here:/s busybox touch /s/x")).ok();
        assert!(std::path::Path::new(&format!("{shared}/made/here/x")).exists());
        host.docker(&format!("create --name c1 -v {shared}:/s:ro busybox")).ok();
        let bind = host.inspect("c1", "{{json .HostConfig.Binds}}");
        assert_eq!(bind, format!("[\"{shared}:/s:ro\"]"));
        let mount =
            host.inspect("c1", "{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}}{{end}}");
        assert_eq!(mount, "bind /s false");
    });
}

#[test]
fn read_only_leaves_only_the_mounts_writable() {
    on_host(|host| {
        host.docker("run --rm --read-only busybox touch /x")
            .code(1)
            .stderr_has("Read-only file system");
        host.docker("run --rm --read-only busybox touch /dev/shm/x").code(0);
        host.docker("run --rm --read-only --tmpfs /tmp busybox touch /tmp/x").code(0);
    });
}

#[test]
fn init_is_the_first_process_and_reaps() {
    on_host(|host| {
        let script = "( true & ); cat /proc/1/comm; echo $$";
        let ran = host.docker(&format!("run --rm --init busybox sh -c '{script}'"));
        let lines = ran.code(0).lines();
        assert!(lines[0].contains("init"), "{lines:?}");
        assert_ne!(lines[1], "1");
        host.docker("run -d --init --name c1 busybox sh -c '(sleep 0 & ) ; exec sleep 1000'").ok();
        tare_integration::wait::until_true("the orphan being reaped", || {
            !host.docker("exec c1 ps").ok().contains("[sleep]")
        });
        host.docker("stop c1").ok();
        assert_eq!(host.inspect("c1", "{{.State.ExitCode}}"), "143");
    });
}

#[test]
fn pid_1_is_the_program_itself_without_init() {
    on_host(|host| {
        host.docker("run --rm busybox sh -c 'echo $$'").code(0).stdout("1\n");
        let ps = host.docker("run --rm busybox ps -o pid,args");
        assert_eq!(ps.lines().len(), 2, "{ps:?}");
    });
}

#[test]
fn an_image_that_is_not_there_is_said_so() {
    on_host(|host| {
        host.docker("run --rm --pull never nowhere true")
            .code(125)
            .stderr_has("No such image: nowhere:latest");
    });
}

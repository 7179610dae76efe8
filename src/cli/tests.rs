//! Command lines as clients write them.

use super::*;

fn line(text: &str) -> std::result::Result<CommandLine, clap::Error> {
    let words: Vec<OsString> = text.split_whitespace().map(OsString::from).collect();
    parse(&words)
}

#[test]
fn the_description_is_consistent() {
    command().debug_assert();
}

#[test]
fn command_lines_of_clients_are_accepted() {
    for text in [
        "stockade --root /r --log /l --log-format json --systemd-cgroup create --bundle /b --pid-file /p --no-pivot a",
        "stockade --root=/r --debug --rootless=true create -b /b --console-socket /s --no-new-keyring --preserve-fds 2 a",
        "stockade --root /r start a",
        "stockade --root /r kill --all a 9",
        "stockade --root /r kill a",
        "stockade --root /r delete --force a",
        "stockade delete -f a",
        "stockade --root /r state a",
        "stockade list --format json",
        "stockade list -q",
        "stockade run --detach --keep --no-subreaper --bundle /b --pidfd-socket /s a",
        "stockade run -d -b /b a",
        "stockade spec --rootless --bundle /b",
        "stockade features",
        "stockade --log= state a",
        "stockade --criu /usr/bin/criu state a",
    ] {
        assert!(line(text).is_ok(), "{text}: {:?}", line(text).unwrap_err());
    }
}

#[test]
fn spec_has_a_rootless_flag_of_its_own() {
    let line = line("stockade --rootless false spec --rootless").unwrap();
    assert!(matches!(line.verb, Verb::Spec(ref args) if args.rootless));
    assert_eq!(line.global.rootless, Some(cmd::Rootless::False));
}

#[test]
fn launch_takes_a_directory_and_a_command() {
    let text = "stockade launch --profile none --memory 256M --cpus 1.5 --pids 64 --env A=b --bind /s:/d:ro \
                --workdir /w --user 1000:100 --network host /root -- sh -c --help";
    let Verb::Launch(args) = line(text).unwrap().verb else {
        panic!("not launch")
    };
    assert_eq!(args.command, ["sh", "-c", "--help"]);
    assert_eq!(
        (args.memory, args.cpus, args.pids),
        (Some(256 << 20), Some(1500), Some(64))
    );
    assert_eq!(args.source, Some("/root".into()));
    let Verb::Launch(args) = line("stockade launch").unwrap().verb else {
        panic!("not launch")
    };
    assert!(args.source.is_none() && args.command.is_empty());
}

#[test]
fn wrong_command_lines_are_refused() {
    for text in [
        "stockade",
        "stockade bogus",
        "stockade state",
        "stockade state a b",
        "stockade state --bogus a",
        "stockade launch --user 4294967296",
        "stockade launch --pids 0",
        "stockade create --preserve-fds -1 a",
    ] {
        assert!(line(text).is_err(), "{text}");
    }
}

#[test]
fn the_version_is_in_the_form_that_clients_parse() {
    let text = line("stockade --version").unwrap_err().render().to_string();
    assert_eq!(
        text,
        concat!(
            "stockade version ",
            env!("CARGO_PKG_VERSION"),
            "\nspec: 1.3.0\n"
        )
    );
    assert!(line("stockade -v").is_err_and(|error| error.kind() == ErrorKind::DisplayVersion));
}

#[test]
fn the_log_is_found_in_a_wrong_command_line() {
    let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
    let found = log_flags(&words("stockade --log /l --log-format=json --bogus"));
    assert_eq!(found, (Some("/l".into()), LogFormat::Json));
    assert_eq!(
        log_flags(&words("stockade --bogus")),
        (None, LogFormat::Text)
    );
}

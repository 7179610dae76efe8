//! IMG-017: secrets in what an image says of itself: variables, labels, the commands of its history. Everybody who has the
//! image reads them. Whether a word can be a secret: see `audit::secret`.

use super::found::{Found, Gathered, Spot};
use crate::audit::config::part;
use crate::audit::secret;
use crate::error::quote;
use crate::image::ImageConfig;

const CHECK: &str = "IMG-017";

pub(super) fn look(config: &ImageConfig, gathered: &mut Gathered) {
    for (i, entry) in config.config.env.iter().enumerate() {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        if let Some(what) = secret::by_name(name, value) {
            add(format!("/config/Env/{i}"), name, what, gathered);
        }
    }
    for (name, value) in &config.config.labels {
        if let Some(what) = secret::by_name(name, value) {
            let key = part(name);
            add(format!("/config/Labels/{key}"), name, what, gathered);
        }
    }
    for (i, command) in config.history.iter().enumerate() {
        if let Some((name, what)) = in_command(command) {
            add(format!("/history/{i}/created_by"), name, what, gathered);
        }
    }
}

fn add(pointer: String, name: &str, what: &str, gathered: &mut Gathered) {
    let shown: String = name.chars().take(64).collect();
    let message = if name.is_empty() {
        what.to_owned()
    } else {
        format!("{}: {what}", quote(&shown))
    };
    gathered.add(
        CHECK,
        Found::new(Spot::Config(pointer), message).about(shown),
    );
}

/// The first secret in a command, and the name that it is given to there.
fn in_command(command: &str) -> Option<(&str, &'static str)> {
    command.split_whitespace().find_map(|word| {
        let named = word.split_once('=').and_then(|(before, value)| {
            let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
            let name = before
                .rsplit(|c| !is_name(c))
                .next()?
                .trim_start_matches('-');
            Some((name, secret::by_name(name, bare(value))?))
        });
        named.or_else(|| Some(("", secret::by_shape(bare(word))?)))
    })
}

/// Without what a shell's words stand in.
fn bare(word: &str) -> &str {
    word.trim_matches(['"', '\'', ';', '(', ')', '&', ',', '`'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Execution;

    fn found(config: &ImageConfig) -> Vec<(Spot, String)> {
        let mut gathered = Gathered::default();
        look(config, &mut gathered);
        gathered
            .into_found()
            .map(|(_, found)| (found.place, found.message))
            .collect()
    }

    #[test]
    fn secrets_are_told_by_name_and_value_together() {
        let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let config = ImageConfig {
            config: Execution {
                env: strings(&[
                    "PATH=/usr/local/bin:/usr/bin",
                    // Of the images of Python, and of what others took for secrets.
                    "GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D",
                    "PYTHON_PIP_VERSION=23.0.1",
                    "MONKEY=aB3dE5fG7hI9",
                    "SSH_KEY_PATH=/root/.ssh/id_rsa",
                    "DB_PASSWORD_FILE=/run/secrets/db",
                    "DB_PASSWORD=${FROM_OUTSIDE}",
                    "DB_PASSWORD=changeme",
                    "PWD=/srv/aB3dE5fG7h",
                    "KEYCLOAK_ACCESS=aB3dE5fG7hI9",
                    "DB_PASSWORD=x7Kq92LmPw4z",
                    "URL=https://u:x7Kq92LmPw4z@host/",
                ]),
                labels: [
                    (
                        "org.example/api.token".to_owned(),
                        "x7Kq92LmPw4z".to_owned(),
                    ),
                    (
                        "org.opencontainers.image.revision".to_owned(),
                        "4c2e7f00aB1d".to_owned(),
                    ),
                ]
                .into(),
                ..Execution::default()
            },
            history: strings(&[
                "/bin/sh -c apt-get install -y libsecret-1-0=0.20.5-3 password-store=1.7.4",
                "|1 NPM_TOKEN=x7Kq92LmPw4z /bin/sh -c npm ci",
                "RUN /bin/sh -c curl -H \"Authorization: token ghp_0123456789abcdefghijABCDEFGHIJ012345\" # buildkit",
            ]),
            ..ImageConfig::default()
        };
        let shape = "a secret by its name";
        let expected = [
            ("/config/Env/10", format!("\"DB_PASSWORD\": {shape}")),
            (
                "/config/Env/11",
                "\"URL\": a URL with a password".to_owned(),
            ),
            (
                "/config/Labels/org.example~1api.token",
                format!("\"org.example/api.token\": {shape}"),
            ),
            ("/history/1/created_by", format!("\"NPM_TOKEN\": {shape}")),
            ("/history/2/created_by", "a token of GitHub".to_owned()),
        ];
        assert_eq!(
            found(&config),
            expected.map(|(pointer, text)| (Spot::Config(pointer.to_owned()), text))
        );
    }
}

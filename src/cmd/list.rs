//! `list`: all containers below the root, as a table or as JSON.

use clap::{Args, ValueEnum};

use super::output::compact;
use super::{ExitCode, Global, print};
use crate::container::{Listed, StateDocument, list};
use crate::error::{Doing, Result, quote_path};

/// Arguments of `list`.
#[derive(Debug, Clone, Args)]
pub struct List {
    /// For people or for programs
    #[arg(long, short, value_enum, default_value_t)]
    pub format: ListFormat,
    /// Print ids only
    #[arg(long, short)]
    pub quiet: bool,
}

/// How `list` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ListFormat {
    /// One line a container.
    #[default]
    Table,
    /// An array of state documents.
    Json,
}

/// Prints the containers; damaged ones are warned about and not in the JSON.
///
/// # Errors
/// The root cannot be read, or the one of `--root` does not exist.
pub fn run(global: &Global, args: &List) -> Result<ExitCode> {
    if let Some(root) = &global.root {
        // A mistyped directory would look like one without containers.
        std::fs::metadata(root)
            .doing(|| format!("list the containers below {}", quote_path(root)))?;
    }
    let found = list(&global.store()?)?;
    for listed in &found {
        if let Listed::Damaged(_, error) = listed {
            log::warn!("{error}");
        }
    }
    if args.quiet {
        print_ids(&found)?;
    } else if args.format == ListFormat::Json {
        let whole: Vec<_> = found.iter().filter_map(document).collect();
        print(&compact(&whole)?)?;
    } else {
        print(&table(&found))?;
    }
    Ok(ExitCode::Done)
}

fn print_ids(found: &[Listed]) -> Result<()> {
    found.iter().try_for_each(|listed| match listed {
        Listed::Whole(document) => print(&document.id),
        Listed::Damaged(id, _) => print(id),
    })
}

fn document(listed: &Listed) -> Option<&StateDocument> {
    match listed {
        Listed::Whole(document) => Some(document),
        Listed::Damaged(..) => None,
    }
}

fn table(found: &[Listed]) -> String {
    let mut rows = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned)];
    rows.extend(found.iter().map(|listed| match listed {
        Listed::Whole(document) => row(document),
        Listed::Damaged(id, _) => [id, "-", "damaged", "-", "-", "-"].map(str::to_owned),
    }));
    let mut widths = [9; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; 6]| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn row(document: &StateDocument) -> [String; 6] {
    // The bundle's path is the caller's, but a terminal must not act on what is in it.
    let bundle: String = document.bundle.to_string_lossy().escape_debug().collect();
    [
        document.id.clone(),
        document.pid.to_string(),
        document.status.word().to_owned(),
        bundle,
        document.created.clone().unwrap_or_default(),
        document.owner.clone().unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn the_table_has_a_line_for_a_damaged_container_too() {
        let text = r#"{"ociVersion":"1.3.0","id":"a","pid":7,"status":"running","bundle":"/b\u001b",
            "created":"2026-11-25T12:00:00.000000000Z","owner":"root"}"#;
        let found = [
            Listed::Whole(serde_json::from_str(text).unwrap()),
            Listed::Damaged("broken".into(), Error::new("a", "b")),
        ];
        let expected = "\
ID          PID         STATUS      BUNDLE      CREATED                          OWNER
a           7           running     /b\\u{1b}    2026-11-25T12:00:00.000000000Z   root
broken      -           damaged     -           -                                -";
        assert_eq!(table(&found), expected);
    }
}

//! `dump`: a file, or a directory as an archive, on standard output.

use crate::cli::args::restore::{Archive, DumpArgs};
use crate::cli::render::printable;
use crate::cli::{Context, Exit, Failure, choose, open, signals};
use crate::format::tree::Node;
use crate::ops::dump::{ArchiveFormat, DumpError, DumpReport, Listener, dump_archive, dump_file, dump_keys};
use crate::ops::snapshots::Spot;

/// Writes what stands at a path. An archive's names begin below the path in `SNAPSHOT:PATH`.
pub fn run(context: &Context, args: &DumpArgs) -> Result<Exit, Failure> {
    let repository = open::repository(context)?;
    let _held = repository.hold_back_deletions(&open::who(context, None));
    let (_, snapshot) = choose::one(&repository, &args.snapshot.name, &args.filter)?;
    let base = &args.snapshot.path;
    let path = args.path.as_ref().map_or_else(|| base.clone(), |path| choose::below(base, path));
    let spot = choose::spot(&repository, &snapshot, &path)?;
    let listener = Listener {
        on_trouble: &|trouble| context.complain(&trouble.path, &trouble.why),
        interrupted: &signals::interrupted,
    };
    let dumped = if let Spot::Keys { tree, prefix } = &spot {
        refuse_terminal(context)?;
        dump_keys(&repository, tree, prefix, format(args.archive), &mut context.out().writer(), &listener)
    } else if let Some(tree) = spot.tree() {
        let prefix = args.path.as_ref().map(|path| names(path.as_encoded_bytes())).unwrap_or_default();
        refuse_terminal(context)?;
        dump_archive(&repository, tree, &prefix, format(args.archive), &mut context.out().writer(), &listener)
    } else if let Spot::Entry(entry) = &spot
        && let Node::File(content) = &entry.node
    {
        dump_file(&repository, content, &mut context.out().writer(), &listener).map(|()| DumpReport::default())
    } else {
        let message = format!("{} is neither a file nor a directory", printable(&path));
        return Err(Failure::new(Exit::Failed, message).hint("restore brings back links, pipes and devices"));
    };
    let report = dumped.map_err(failure)?;
    Ok(match (report.damaged_count, report.troubles) {
        (1.., _) => Exit::Damage,
        (0, 1..) => Exit::Partly,
        (0, 0) => Exit::Success,
    })
}

fn format(archive: Archive) -> ArchiveFormat {
    match archive {
        Archive::Tar => ArchiveFormat::Tar,
        Archive::Zip => ArchiveFormat::Zip,
    }
}

fn refuse_terminal(context: &Context) -> Result<(), Failure> {
    match context.out().is_terminal() {
        true => {
            Err(Failure::usage("an archive would be written to the terminal").hint("redirect it: > FILE, or | tar x"))
        }
        false => Ok(()),
    }
}

/// The names that lead to a path, with single slashes between them.
fn names(path: &[u8]) -> Vec<u8> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    names.collect::<Vec<_>>().join(&b'/')
}

fn failure(error: DumpError) -> Failure {
    match error {
        DumpError::Repository(error) => open::failure(error),
        DumpError::Output(error) => Failure::of_output(&error),
        DumpError::Interrupted => Failure::interrupted(),
    }
}

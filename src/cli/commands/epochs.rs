//! Closing epochs after the keys changed, and what is said of it.

use serde::Serialize;

use crate::cli::render::printable;
use crate::cli::{Context, Failure, open};
use crate::repo::{AtWork, Closed, Repository};

/// Closes the epochs that can be closed, and says which and why not the others.
pub fn settle(context: &Context, repository: &mut Repository, again: bool) -> Result<Closed, Failure> {
    let hint = "the keys are as they were said to be above; close the old epochs with: keepstone key close";
    let closed = repository.close_epochs(again).map_err(|error| open::failure(error).hint(hint))?;
    for epoch in &closed.epochs {
        context.note(format!("Closed epoch {epoch}: whatever else appears under its keys is refused."));
    }
    for name in &closed.left_out {
        context.complain(name.as_str(), "it has no readable beginning, and counts for nothing from now on");
    }
    if closed.listed_anew > 0 {
        context
            .note(format!("{} packs are listed anew: a segment that listed them came too late.", closed.listed_anew));
    }
    if let Some(epoch) = closed.open_from {
        context.note(format!("Epoch {epoch} stays open, because someone may still be writing under its keys:"));
        closed.waits_for.iter().for_each(|at_work| context.note(format!("  {}", who(at_work))));
        context.note(
            "When they are done, close it with: keepstone key close. The announcement of a run that died is removed by prune.",
        );
    }
    Ok(closed)
}

fn who(at_work: &AtWork) -> String {
    let id = at_work.id.short();
    match &at_work.session {
        Some(session) => {
            let (kind, host) = (format!("{:?}", session.kind).to_lowercase(), printable(session.host.as_bytes()));
            format!("session {id}: {kind} on {host}, process {}", session.process)
        }
        None => format!("session {id}, which cannot be read"),
    }
}

#[derive(Serialize)]
struct Epochs {
    message_type: &'static str,
    epoch: u32,
    closed: Vec<u32>,
    valid: u64,
    open_from: Option<u32>,
    waits_for: Vec<String>,
}

/// Tells programs what became of the epochs.
pub fn tell(
    context: &Context,
    message_type: &'static str,
    repository: &Repository,
    closed: &Closed,
) -> Result<(), Failure> {
    if !open::is_json(context) {
        return Ok(());
    }
    let epoch = repository.keychain().keyring.current_epoch().map_or(0, |epoch| epoch.number);
    context.out().json(&Epochs {
        message_type,
        epoch,
        closed: closed.epochs.clone(),
        valid: closed.valid,
        open_from: closed.open_from,
        waits_for: closed.waits_for.iter().map(|at_work| at_work.id.to_hex()).collect(),
    })
}

//! `key`: who can open the repository.

use serde::Serialize;

use super::epochs;

use crate::cli::args::key::{AddArgs, KeyAction, KeyArgs, NewPasswordArgs};
use crate::cli::render::{Align, Table, local, printable, rfc3339, size};
use crate::cli::values::IdPrefix;
use crate::cli::{Context, Exit, Failure, choose, open};
use crate::format::control::Snapshot;
use crate::format::keys::Slot;
use crate::id::KeyslotId;
use crate::repo::{Argon2Profile, Keychain, Repository};

/// Does what is asked with keys.
pub fn run(context: &Context, args: &KeyArgs) -> Result<Exit, Failure> {
    match &args.action {
        KeyAction::List => list(context)?,
        KeyAction::Add(args) => add(context, args)?,
        KeyAction::Remove { id } => remove(context, id)?,
        KeyAction::Passwd(args) => passwd(context, args)?,
        KeyAction::Rotate => rotate(context)?,
        KeyAction::Close { again } => close(context, *again)?,
    }
    Ok(Exit::Success)
}

/// A key in a listing; `userName` and the like of restic are in the label.
#[derive(Serialize)]
struct Listed<'a> {
    current: bool,
    id: String,
    label: &'a str,
    created: String,
}

fn list(context: &Context) -> Result<(), Failure> {
    let repository = open::repository(context)?;
    let keychain = repository.keychain();
    if open::is_json(context) {
        let keys: Vec<Listed> = keychain.keyring.slots.iter().map(|slot| listed(keychain, slot)).collect();
        return context.out().json(&keys);
    }
    let mut table =
        Table::new([("", Align::Left), ("ID", Align::Left), ("Label", Align::Left), ("Created", Align::Left)]);
    for slot in keychain.keyring.slots.iter() {
        let mark = if slot.id == keychain.slot { "*" } else { "" };
        table.row([mark.into(), slot.id.short(), printable(slot.label.as_bytes()), local(slot.created)]);
    }
    context.out().text(&table)?;
    context.note("* is the key in use");
    Ok(())
}

fn listed<'a>(keychain: &Keychain, slot: &'a Slot) -> Listed<'a> {
    let (id, created) = (slot.id.to_hex(), rfc3339(slot.created));
    Listed { current: slot.id == keychain.slot, id, label: &slot.label, created }
}

/// What became of a key.
#[derive(Serialize)]
struct Changed<'a> {
    message_type: &'static str,
    id: String,
    label: &'a str,
}

fn tell(context: &Context, message_type: &'static str, id: &KeyslotId, label: &str, said: &str) -> Result<(), Failure> {
    match open::is_json(context) {
        true => context.out().json(&Changed { message_type, id: id.to_hex(), label }),
        false => context.out().line(format_args!("{said} {} ({})", id.short(), printable(label.as_bytes()))),
    }
}

fn add(context: &Context, args: &AddArgs) -> Result<(), Failure> {
    let mut repository = open::repository(context)?;
    let password = context.new_password(&args.password)?;
    let who = open::who(context, None);
    let label = args.label.clone().unwrap_or_else(|| format!("{}@{}", who.user, who.host));
    let (keychain, store, chance) = repository.keychain_mut();
    let id = keychain.add(store, password.as_bytes(), &label, Argon2Profile::Default, chance).map_err(open::failure)?;
    tell(context, "key_added", &id, &label, "added key")?;
    context.note("Its password opens everything that is in the repository. Try it before you rely on it:");
    context.note("  keepstone key list --password-file FILE");
    Ok(())
}

fn remove(context: &Context, prefix: &IdPrefix) -> Result<(), Failure> {
    let mut repository = open::repository(context)?;
    let (keychain, store, chance) = repository.keychain_mut();
    let id = choose::one_id(prefix, keychain.keyring.slots.iter().map(|slot| slot.id), "keepstone key list")?;
    let label = label_of(keychain, &id);
    keychain.remove(store, &id, chance).map_err(open::failure)?;
    tell(context, "key_removed", &id, &label, "removed key")?;
    still_readable(context, &repository)?;
    epochs::settle(context, &mut repository, false).map(drop)
}

/// What a removal does not do, said to whoever relies on it: all keys so far were the holder's as well.
fn still_readable(context: &Context, repository: &Repository) -> Result<(), Failure> {
    let snapshots = repository.objects().list::<Snapshot>().map_err(open::failure)?.len();
    let (mut packs, mut bytes) = (0u64, 0u64);
    let count = repository.objects().store().list("packs", &mut |listed| {
        (packs, bytes) = (packs + 1, bytes.saturating_add(listed.len));
        Ok(())
    });
    count.map_err(|error| open::failure(error.into()))?;
    context.note(format!(
        "Whoever held it may have kept the keys: with a copy of the store, they can still read what is in it now, {snapshots} snapshots and {} in {packs} packs.",
        size(bytes)
    ));
    context.note("What is written from now on is sealed under new keys. To shut them out of the rest, take away their access to the store, and then:");
    context.note("  keepstone prune --reseal");
    Ok(())
}

fn rotate(context: &Context) -> Result<(), Failure> {
    let mut repository = open::repository(context)?;
    let (keychain, store, chance) = repository.keychain_mut();
    let epoch = keychain.rotate(store, chance).map_err(open::failure)?;
    if !open::is_json(context) {
        context
            .out()
            .line(format_args!("epoch {epoch} begins: what is written from now on is sealed under new keys"))?;
    }
    let closed = epochs::settle(context, &mut repository, false)?;
    epochs::tell(context, "keys_rotated", &repository, &closed)
}

fn close(context: &Context, again: bool) -> Result<(), Failure> {
    let mut repository = open::repository(context)?;
    let closed = epochs::settle(context, &mut repository, again)?;
    if closed.epochs.is_empty() && closed.waits_for.is_empty() && !open::is_json(context) {
        context.out().line(format_args!("there is no epoch to close"))?;
    }
    epochs::tell(context, "epochs_closed", &repository, &closed)
}

fn passwd(context: &Context, args: &NewPasswordArgs) -> Result<(), Failure> {
    let mut repository = open::repository(context)?;
    let password = context.new_password(args)?;
    let (keychain, store, chance) = repository.keychain_mut();
    let id = keychain
        .change_passphrase(store, password.as_bytes(), Argon2Profile::Default, chance)
        .map_err(open::failure)?;
    tell(context, "key_changed", &id, &label_of(keychain, &id), "changed the password; the key in use is now")?;
    context.note("The old password opens this repository no longer. Other keys are as they were.");
    epochs::settle(context, &mut repository, false).map(drop)
}

fn label_of(keychain: &Keychain, id: &KeyslotId) -> String {
    keychain.keyring.slots.find(id).map_or_else(String::new, |slot| slot.label.to_string())
}

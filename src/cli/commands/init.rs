//! `init`.

use serde::Serialize;

use crate::cli::args::repository::InitArgs;
use crate::cli::values::PackSize;
use crate::cli::{Context, Exit, Failure, Form, open, stores};
use crate::format::keys::Settings;
use crate::repo::{self, Argon2Profile, Keychain, Repository, SystemChance};

#[derive(Serialize)]
struct Initialized<'a> {
    message_type: &'static str,
    id: String,
    repository: &'a str,
}

/// Makes a repository.
pub fn run(context: &Context, args: &InitArgs) -> Result<Exit, Failure> {
    let pack_size = args.pack_size.or(context.settings().pack_size);
    let other = match args.like_other || args.from.names_a_place() {
        true => Some(open::second_repository(context, &args.from)?),
        false => None,
    };
    let place = make(context, pack_size, other.as_ref())?;
    match context.output().form {
        Form::Json => {
            let id = place.id.to_hex();
            context.out().json(&Initialized { message_type: "initialized", id, repository: &place.place })?;
        }
        Form::Human => {
            context.note(format!("made repository {} at {}", place.id.short(), place.place));
            context.note("Keep its password safe: without it, nothing in the repository can be read, by anybody.");
            let repository = shell_words::quote(&place.place);
            context.note(format!("Next, make a snapshot:  keepstone -r {repository} backup PATH…"));
        }
    }
    Ok(Exit::Success)
}

/// A repository that was just made.
pub struct Made {
    id: crate::id::RepositoryId,
    place: String,
}

/// Makes a repository where the settings say, with a password that is typed twice if it is typed; related to
/// `other` if there is one.
pub fn make(context: &Context, pack_size: Option<PackSize>, other: Option<&Repository>) -> Result<Made, Failure> {
    // Before the password is asked for: nobody types it twice to hear that.
    let store = stores::new(context, &context.settings().repository()?)?;
    repo::must_be_vacant(&*store).map_err(open::failure)?;
    let password = context.first_password()?;
    let pack_size = pack_size.map_or(0, PackSize::bytes);
    let who = open::who(context, None);
    let label = format!("{}@{}", who.user, who.host);
    let (words, profile) = (password.as_bytes(), Argon2Profile::Default);
    let made = match other {
        None => {
            let settings = Settings { pack_size, ..repo::default_settings() };
            repo::init(&*store, words, &label, settings, profile, &SystemChance)
        }
        Some(other) => repo::init_related(&*store, words, &label, pack_size, other.keychain(), profile, &SystemChance),
    };
    let id = made.map_err(open::failure)?;
    let keychain = Keychain::unlock(&*store, password.as_bytes()).map_err(open::failure)?;
    repo::pin_new(&open::cache_dir(context), &store.place(), &keychain).map_err(open::failure)?;
    Ok(Made { id, place: store.place() })
}

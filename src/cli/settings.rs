//! Settings: what flags and the environment say, flags first. Touches the disk.

use std::fs;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};

use super::args::GlobalArgs;
use super::args::from::FromArgs;
use super::environment::Environment;
use super::exit::{Exit, Failure};
use super::values::{Compression, FramesPerSecond, PackSize, Place, StoreOption};

/// What holds for every command. What a command's own flag can override is named so.
#[derive(Debug)]
pub struct Settings {
    repository: Option<RepositoryFrom>,
    /// Where the cache is.
    pub cache: Cache,
    /// How many threads work; `None`: as many as there are processors.
    pub threads: Option<NonZeroUsize>,
    /// What goes to the store is no faster, in KiB a second.
    pub limit_upload: Option<NonZeroU32>,
    /// What comes from the store is no faster, in KiB a second.
    pub limit_download: Option<NonZeroU32>,
    /// Options of the store.
    pub store_options: Vec<StoreOption>,
    /// `KEEPSTONE_HOST`; `--host` of `backup` overrides it.
    pub host: Option<String>,
    /// `KEEPSTONE_COMPRESSION`; `--compression` overrides it.
    pub compression: Option<Compression>,
    /// `KEEPSTONE_PACK_SIZE`; `--pack-size` overrides it.
    pub pack_size: Option<PackSize>,
    /// `KEEPSTONE_PROGRESS_FPS`.
    pub progress_fps: Option<FramesPerSecond>,
}

/// Where it is said where the repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum RepositoryFrom {
    Place(Place),
    File(PathBuf),
}

/// Where the cache is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cache {
    /// In this directory, beside those of other repositories.
    At(PathBuf),
    /// Nowhere: it is made for one command, and thrown away.
    Off,
}

/// Flags and variables that say where a repository is.
struct Names<'a> {
    place: &'a Option<Place>,
    file: &'a Option<PathBuf>,
    variable: &'static str,
    file_variable: &'static str,
}

/// The place of a second repository, which another one is made like or copied from; `None` if nobody names one.
pub fn second_repository(flags: &FromArgs, environment: &Environment) -> Result<Option<Place>, Failure> {
    let names = Names {
        place: &flags.from_repo,
        file: &flags.from_repository_file,
        variable: "KEEPSTONE_FROM_REPOSITORY",
        file_variable: "KEEPSTONE_FROM_REPOSITORY_FILE",
    };
    repository(&names, environment)?.map(|from| from.place()).transpose()
}

impl RepositoryFrom {
    fn place(&self) -> Result<Place, Failure> {
        match self {
            RepositoryFrom::Place(place) => Ok(place.clone()),
            RepositoryFrom::File(file) => place_in(file),
        }
    }
}

impl Settings {
    /// What flags and environment say together. Every variable is checked, whether or not it is needed now.
    pub fn resolve(flags: &GlobalArgs, environment: &Environment) -> Result<Self, Failure> {
        Ok(Settings {
            repository: repository(
                &Names {
                    place: &flags.repo,
                    file: &flags.repository_file,
                    variable: "KEEPSTONE_REPOSITORY",
                    file_variable: "KEEPSTONE_REPOSITORY_FILE",
                },
                environment,
            )?,
            cache: cache(flags, environment),
            threads: flags.threads,
            limit_upload: flags.limit_upload,
            limit_download: flags.limit_download,
            store_options: flags.options.clone(),
            host: environment.text("KEEPSTONE_HOST")?,
            compression: environment.value("KEEPSTONE_COMPRESSION")?,
            pack_size: environment.value("KEEPSTONE_PACK_SIZE")?,
            progress_fps: environment.value("KEEPSTONE_PROGRESS_FPS")?,
        })
    }

    /// Whether it is said where the repository is.
    pub fn names_repository(&self) -> bool {
        self.repository.is_some()
    }

    /// Where the repository is; exit 2 if nobody says.
    pub fn repository(&self) -> Result<Place, Failure> {
        match &self.repository {
            Some(from) => from.place(),
            None => Err(Failure::usage("no repository is named")
                .hint("give -r PLACE or --repository-file FILE, or set KEEPSTONE_REPOSITORY")),
        }
    }
}

fn repository(names: &Names<'_>, environment: &Environment) -> Result<Option<RepositoryFrom>, Failure> {
    if let Some(place) = names.place {
        return Ok(Some(RepositoryFrom::Place(place.clone())));
    }
    if let Some(file) = names.file {
        return Ok(Some(RepositoryFrom::File(file.clone())));
    }
    let Names { variable, file_variable, .. } = names;
    match (environment.raw(variable), environment.raw(file_variable)) {
        // Guessing which one is meant could write a backup to the wrong place.
        (Some(_), Some(_)) => Err(Failure::usage(format!("{variable} and {file_variable} are both set"))
            .hint("unset one of them, or name the place with an option")),
        (Some(place), None) => match Place::parse(&place) {
            Ok(place) => Ok(Some(RepositoryFrom::Place(place))),
            Err(error) => {
                let message = format!("invalid value '{}' for {variable}: {error}", place.display());
                Err(Failure::usage(message))
            }
        },
        (None, file) => Ok(file.map(|file| RepositoryFrom::File(file.into()))),
    }
}

fn place_in(file: &Path) -> Result<Place, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, format!("cannot take the repository from file {}: {why}", file.display()))
    };
    let text = fs::read_to_string(file).map_err(|error| failed(&error))?;
    Place::parse(text.trim_end_matches(['\r', '\n']).as_ref()).map_err(|error| failed(&error))
}

/// `$XDG_CACHE_HOME/keepstone`, or `~/.cache/keepstone`, unless another place is named.
fn cache(flags: &GlobalArgs, environment: &Environment) -> Cache {
    if flags.no_cache {
        return Cache::Off;
    }
    let named = flags.cache_dir.clone().or_else(|| environment.raw("KEEPSTONE_CACHE_DIR").map(PathBuf::from));
    // The XDG specification: a path that is not absolute is ignored.
    let absolute = |name| environment.raw(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let usual = || absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    match named.or_else(|| usual().map(|caches| caches.join("keepstone"))) {
        Some(directory) => Cache::At(directory),
        None => Cache::Off,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(flags: &GlobalArgs, variables: &[(&str, &str)]) -> Result<Settings, Failure> {
        Settings::resolve(flags, &Environment::of(variables))
    }

    #[test]
    fn a_flag_wins_over_the_environment() {
        let variables = [("KEEPSTONE_REPOSITORY", "/env"), ("KEEPSTONE_CACHE_DIR", "/env-cache")];
        let none = resolve(&GlobalArgs::default(), &variables).unwrap();
        assert_eq!(none.repository(), Ok(Place::Path("/env".into())));
        assert_eq!(none.cache, Cache::At("/env-cache".into()));
        let flags = GlobalArgs {
            repo: Some(Place::Path("/flag".into())),
            cache_dir: Some("/flag-cache".into()),
            ..GlobalArgs::default()
        };
        let given = resolve(&flags, &variables).unwrap();
        assert_eq!(given.repository(), Ok(Place::Path("/flag".into())));
        assert_eq!(given.cache, Cache::At("/flag-cache".into()));
    }

    #[test]
    fn a_bad_variable_is_named() {
        let bad = [
            ("KEEPSTONE_COMPRESSION", "zip"),
            ("KEEPSTONE_PACK_SIZE", "1"),
            ("KEEPSTONE_PROGRESS_FPS", "fast"),
            ("KEEPSTONE_REPOSITORY", "ftp://host/x"),
        ];
        for (name, value) in bad {
            let failure = resolve(&GlobalArgs::default(), &[(name, value)]).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains(name) && failure.message.contains("expected"), "{}", failure.message);
        }
    }

    #[test]
    fn two_repositories_in_the_environment_are_one_too_many() {
        let both = [("KEEPSTONE_REPOSITORY", "/a"), ("KEEPSTONE_REPOSITORY_FILE", "/b")];
        assert_eq!(resolve(&GlobalArgs::default(), &both).unwrap_err().exit, Exit::Usage);
        let flags = GlobalArgs { repo: Some(Place::Path("/c".into())), ..GlobalArgs::default() };
        assert!(resolve(&flags, &both).is_ok());
    }

    #[test]
    fn an_empty_variable_is_unset() {
        let settings = resolve(&GlobalArgs::default(), &[("KEEPSTONE_COMPRESSION", ""), ("KEEPSTONE_REPOSITORY", "")]);
        let settings = settings.unwrap();
        assert_eq!(settings.compression, None);
        assert_eq!(settings.repository().unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn the_cache_is_where_caches_are() {
        let cases: [(&[(&str, &str)], Cache); 4] = [
            (&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")], Cache::At("/c/keepstone".into())),
            (&[("XDG_CACHE_HOME", "c"), ("HOME", "/h")], Cache::At("/h/.cache/keepstone".into())),
            (&[("HOME", "/h")], Cache::At("/h/.cache/keepstone".into())),
            (&[], Cache::Off),
        ];
        for (variables, cache) in cases {
            assert_eq!(resolve(&GlobalArgs::default(), variables).unwrap().cache, cache);
        }
    }

    #[test]
    fn a_repository_file_holds_a_place_and_a_newline() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("where");
        let flags = GlobalArgs { repository_file: Some(file.clone()), ..GlobalArgs::default() };
        let settings = resolve(&flags, &[]).unwrap();
        assert_eq!(settings.repository().unwrap_err().exit, Exit::Failed);
        fs::write(&file, "/mnt/a place\n").unwrap();
        assert_eq!(settings.repository(), Ok(Place::Path("/mnt/a place".into())));
    }
}

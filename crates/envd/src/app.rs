//! What all requests share.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use crate::config::Config;
use crate::connect::{Code, Error};
use crate::filesystem::watch::Watches;
use crate::freeze::Freezer;
use crate::http::connections::Connections;
use crate::metrics::CpuMeter;
use crate::process::registry::Processes;
use crate::users::{User, Users};

/// The agent's state.
pub struct App {
    pub config: Config,
    pub settings: RefCell<Settings>,
    pub connections: Rc<Connections>,
    pub processes: Rc<Processes>,
    pub users: Users,
    pub watches: Rc<Watches>,
    pub freezer: Rc<Freezer>,
    pub cpu: RefCell<CpuMeter>,
}

/// What `/init` sets.
#[derive(Default)]
pub struct Settings {
    pub access_token: Option<String>,
    /// Environment of every process.
    pub environment: BTreeMap<String, String>,
    /// What tells a process that it runs in a sandbox, and in which.
    pub platform_environment: BTreeMap<String, String>,
    pub default_user: Option<String>,
    pub default_directory: Option<PathBuf>,
    /// Which incarnation of the sandbox the settings belong to.
    pub lifecycle_id: Option<String>,
}

/// Who acts when neither the caller nor `/init` says so.
const DEFAULT_USER: &str = "user";

impl App {
    pub fn new(config: Config) -> Rc<Self> {
        let processes = Processes::new(config.cgroup_root.as_deref());
        let settings = Settings {
            platform_environment: BTreeMap::from([("E2B_SANDBOX".to_owned(), "true".to_owned())]),
            ..Settings::default()
        };
        Rc::new(App {
            config,
            settings: RefCell::new(settings),
            connections: Rc::default(),
            processes,
            users: Users::default(),
            watches: Rc::default(),
            freezer: Rc::default(),
            cpu: RefCell::default(),
        })
    }

    /// The user called `name`; without a name the sandbox's default user.
    pub fn user(&self, name: Option<&str>) -> Result<User, Error> {
        let default = self.settings.borrow().default_user.clone();
        let asked = name.or(default.as_deref());
        let found = match asked {
            Some(name) => self.users.find(name),
            // An image without the usual user is run as root.
            None => self
                .users
                .find(DEFAULT_USER)
                .or_else(|| self.users.find("root")),
        };
        let name = asked.unwrap_or(DEFAULT_USER);
        found
            .ok_or_else(|| Error::new(Code::Unauthenticated, format!("invalid username: '{name}'")))
    }

    /// `path` as `user` means it.
    pub fn resolve(&self, path: &str, user: &User) -> Result<PathBuf, Error> {
        crate::paths::resolve(
            path,
            &user.home,
            self.settings.borrow().default_directory.as_deref(),
        )
        .map_err(Error::invalid)
    }
}

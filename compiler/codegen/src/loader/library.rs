//! A shared library of the user's, with the functions that custom operators call.
//!
//! Not checked in any way: its functions are as trusted as the program that asked for them.

use std::error::Error;
use std::path::Path;

pub struct Library(libloading::Library);

impl Library {
    /// Loading it runs what it does when it is loaded. The problem is what the system says, which names the file.
    pub fn open(path: &Path) -> Result<Library, String> {
        // SAFETY: the user has named this file to be loaded.
        unsafe { libloading::Library::new(path) }.map(Library).map_err(|e| e.source().map_or_else(|| e.to_string(), ToString::to_string))
    }

    /// Where a function is.
    pub fn symbol(&self, name: &str) -> Option<usize> {
        // SAFETY: nothing is called here, only its address is asked for.
        let symbol = unsafe { self.0.get::<*const u8>(name.as_bytes()) }.ok()?;
        Some((*symbol).addr())
    }
}

//! Where a program is. It is found before it is started, so that what is missing is known from what has failed: a shell that
//! sets its limits would end with the same exit codes for both.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Command;

impl Command {
    /// The program's file; the error says why there is none.
    pub(super) fn find(&self) -> Result<PathBuf, String> {
        let name = self.program.display();
        if self.program.as_bytes().contains(&b'/') {
            let file = self.in_directory(Path::new(&self.program));
            return match refusal(&file) {
                None => Ok(file),
                Some(refusal) => Err(format!("the program `{name}` {refusal}")),
            };
        }
        let path = self.env.get(OsStr::new("PATH"));
        let mut refused = None;
        for directory in path.iter().flat_map(std::env::split_paths) {
            let file = self.in_directory(&directory.join(&self.program));
            match refusal(&file) {
                None => return Ok(file),
                // One that may not be executed hides none behind it.
                Some(refusal) if file.exists() => {
                    refused.get_or_insert(format!("`{}` {refusal}", file.display()));
                }
                Some(_) => {}
            }
        }
        let path = path.map_or_else(Default::default, |path| path.display().to_string());
        Err(refused.unwrap_or_else(|| format!("there is no program `{name}` in {path}")))
    }

    /// Absolute, whatever the directory is in which the program will run.
    fn in_directory(&self, file: &Path) -> PathBuf {
        let file = match &self.directory {
            Some(directory) => directory.join(file),
            None => file.to_owned(),
        };
        std::path::absolute(&file).unwrap_or(file)
    }
}

/// Why this is no program; none if it is one.
fn refusal(file: &Path) -> Option<&'static str> {
    match std::fs::metadata(file) {
        Err(_) => Some("does not exist"),
        Ok(metadata) if !metadata.is_file() => Some("is no file"),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => Some("is not executable"),
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_its_path_or_in_the_path_that_it_will_have() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("program");
        let missing = Command::new("program").env("PATH", directory.path());
        assert_eq!(
            missing.find().unwrap_err(),
            format!(
                "there is no program `program` in {}",
                directory.path().display()
            )
        );
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        let error = missing.find().unwrap_err();
        assert_eq!(error, format!("`{}` is not executable", program.display()));
        let executable = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&program, executable).unwrap();
        assert_eq!(missing.find().unwrap(), program);
        assert_eq!(Command::new(&program).find().unwrap(), program);
        let here = Command::new("./program").current_dir(directory.path());
        assert!(here.find().unwrap().ends_with("program"));
        let error = Command::new("/no/such/program").find().unwrap_err();
        assert_eq!(error, "the program `/no/such/program` does not exist");
    }
}

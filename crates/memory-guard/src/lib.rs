//! Makes the program that it is preloaded into open one file read-only.
//!
//! QEMU before 8.2 opens the file of a `memory-backend-file` for reading and writing even when it maps it
//! privately (`share=off`). The images that VMs are restored from are read-only, in mode and in mount, so
//! that open fails. A private mapping needs no more than a read-only descriptor.
//!
//! Every entry point of the C library that opens by path is replaced and makes the same system call.
//! `open` and `openat` take their mode as a variable argument; on every Linux ABI it is passed as a named
//! third or fourth one would be, and the kernel ignores it when no file is made.
#![cfg_attr(not(test), no_std)]

use core::ffi::{CStr, c_char, c_int, c_long};

use libc::{AT_FDCWD, O_ACCMODE, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, SYS_openat, mode_t};

/// Environment variable: path of the image, spelled as in `mem-path`.
const IMAGE: &CStr = c"WRENN_MEMORY_IMAGE";

/// # Safety
/// `path` is a C string or a pointer that the kernel refuses.
unsafe fn open_guarded(directory: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: as the caller promises.
    let flags = if flags & O_ACCMODE == O_RDWR && unsafe { is_image(path) } {
        flags & !(O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC) | O_RDONLY
    } else {
        flags
    };
    // SAFETY: openat(2) checks its arguments itself; `syscall` sets errno as `openat` would.
    let result: c_long = unsafe { libc::syscall(SYS_openat, directory, path, flags, mode) };
    result as c_int
}

/// # Safety
/// As for [`open_guarded`].
unsafe fn is_image(path: *const c_char) -> bool {
    // SAFETY: the name is a C string; like every reader of the environment this trusts that nobody changes
    // it meanwhile.
    let image = unsafe { libc::getenv(IMAGE.as_ptr()) };
    // SAFETY: both are C strings, for neither is null.
    !image.is_null() && !path.is_null() && unsafe { libc::strcmp(image, path) } == 0
}

macro_rules! guard_open {
    ($($name:ident),+) => { $(
        /// # Safety
        /// As for `open(2)`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
            // SAFETY: the caller calls `open(2)` and keeps its contract.
            unsafe { open_guarded(AT_FDCWD, path, flags, mode) }
        }
    )+ };
}

macro_rules! guard_openat {
    ($($name:ident),+) => { $(
        /// # Safety
        /// As for `openat(2)`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(directory: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
            // SAFETY: the caller calls `openat(2)` and keeps its contract.
            unsafe { open_guarded(directory, path, flags, mode) }
        }
    )+ };
}

// The `_2` names are what programs built with _FORTIFY_SOURCE call when no file can be made.
guard_open!(open, open64, __open_2, __open64_2);
guard_openat!(openat, openat64, __openat_2, __openat64_2);

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: always sound; and nothing here panics.
    unsafe { libc::abort() }
}

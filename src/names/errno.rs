//! Error numbers (errno(3)): `ENOENT` and its number on this architecture.
//! The sentence of each is nix's.

use super::{number_of, word_of};

/// The name of an error number; of two names for one number the common one (`EAGAIN`, `EDEADLK`, `EOPNOTSUPP`).
pub fn errno_name(number: i32) -> Option<&'static str> {
    word_of(ERRNOS, number)
}

/// The number of an error name.
pub fn errno_number(name: &str) -> Option<i32> {
    number_of(ERRNOS, name)
}

/// An error number as a cause in words: `No such file or directory (ENOENT)`.
pub fn errno_text(number: i32) -> String {
    match errno_name(number) {
        Some(name) => format!("{} ({name})", nix::errno::Errno::from_raw(number).desc()),
        None => format!("error number {number}"),
    }
}

macro_rules! errnos {
    ($($name:ident)*) => { &[$((stringify!($name), libc::$name)),*] };
}

const ERRNOS: &[(&str, i32)] = errnos! {
    EPERM
    ENOENT
    ESRCH
    EINTR
    EIO
    ENXIO
    E2BIG
    ENOEXEC
    EBADF
    ECHILD
    EAGAIN
    ENOMEM
    EACCES
    EFAULT
    ENOTBLK
    EBUSY
    EEXIST
    EXDEV
    ENODEV
    ENOTDIR
    EISDIR
    EINVAL
    ENFILE
    EMFILE
    ENOTTY
    ETXTBSY
    EFBIG
    ENOSPC
    ESPIPE
    EROFS
    EMLINK
    EPIPE
    EDOM
    ERANGE
    EDEADLK
    ENAMETOOLONG
    ENOLCK
    ENOSYS
    ENOTEMPTY
    ELOOP
    ENOMSG
    EIDRM
    ECHRNG
    EL2NSYNC
    EL3HLT
    EL3RST
    ELNRNG
    EUNATCH
    ENOCSI
    EL2HLT
    EBADE
    EBADR
    EXFULL
    ENOANO
    EBADRQC
    EBADSLT
    EBFONT
    ENOSTR
    ENODATA
    ETIME
    ENOSR
    ENONET
    ENOPKG
    EREMOTE
    ENOLINK
    EADV
    ESRMNT
    ECOMM
    EPROTO
    EMULTIHOP
    EDOTDOT
    EBADMSG
    EOVERFLOW
    ENOTUNIQ
    EBADFD
    EREMCHG
    ELIBACC
    ELIBBAD
    ELIBSCN
    ELIBMAX
    ELIBEXEC
    EILSEQ
    ERESTART
    ESTRPIPE
    EUSERS
    ENOTSOCK
    EDESTADDRREQ
    EMSGSIZE
    EPROTOTYPE
    ENOPROTOOPT
    EPROTONOSUPPORT
    ESOCKTNOSUPPORT
    EOPNOTSUPP
    EPFNOSUPPORT
    EAFNOSUPPORT
    EADDRINUSE
    EADDRNOTAVAIL
    ENETDOWN
    ENETUNREACH
    ENETRESET
    ECONNABORTED
    ECONNRESET
    ENOBUFS
    EISCONN
    ENOTCONN
    ESHUTDOWN
    ETOOMANYREFS
    ETIMEDOUT
    ECONNREFUSED
    EHOSTDOWN
    EHOSTUNREACH
    EALREADY
    EINPROGRESS
    ESTALE
    EUCLEAN
    ENOTNAM
    ENAVAIL
    EISNAM
    EREMOTEIO
    EDQUOT
    ENOMEDIUM
    EMEDIUMTYPE
    ECANCELED
    ENOKEY
    EKEYEXPIRED
    EKEYREVOKED
    EKEYREJECTED
    EOWNERDEAD
    ENOTRECOVERABLE
    ERFKILL
    EHWPOISON
    EWOULDBLOCK
    EDEADLOCK
    ENOTSUP
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errno_has_a_name_for_every_number_below_134_but_two() {
        let unnamed: Vec<i32> = (1..134).filter(|n| errno_name(*n).is_none()).collect();
        assert_eq!(unnamed, [41, 58]);
        for (name, number) in ERRNOS {
            assert_eq!(errno_number(name), Some(*number));
        }
    }

    #[test]
    fn errno_text_has_sentence_and_name() {
        assert_eq!(errno_text(2), "No such file or directory (ENOENT)");
        assert_eq!(errno_text(11), "Try again (EAGAIN)");
        assert_eq!(errno_text(41), "error number 41");
    }
}

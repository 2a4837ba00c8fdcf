//! System calls that serving does not take are refused (seccomp(2)).
//!
//! Of all filters of a thread the strictest answer counts: one ends the process at calls that only an
//! intruder makes, one refuses quietly what libraries try and can do without, and one refuses all that
//! is not listed here.

use std::{collections::BTreeMap, env, sync::LazyLock};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter,
};

use super::refused;
use crate::config::Seccomp;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;
/// An argument of a call, by its place, and what holds for it.
type Condition = (u8, SeccompCmpOp, u64);

macro_rules! calls {
    ($($name:ident)*) => { [$((stringify!($name), libc::$name),)*] };
}

/// Calls that only an intruder makes.
static HOSTILE: LazyLock<Vec<(&str, i64)>> = LazyLock::new(|| {
    calls!(
        SYS_acct SYS_add_key SYS_bpf SYS_chroot SYS_delete_module SYS_execve SYS_execveat
        SYS_finit_module SYS_fsconfig SYS_fsmount SYS_fsopen SYS_init_module SYS_io_uring_enter
        SYS_io_uring_register SYS_io_uring_setup SYS_kcmp SYS_kexec_file_load SYS_kexec_load SYS_keyctl
        SYS_mount SYS_mount_setattr SYS_move_mount SYS_name_to_handle_at SYS_open_by_handle_at
        SYS_open_tree SYS_perf_event_open SYS_personality SYS_pidfd_getfd SYS_pidfd_open
        SYS_pivot_root SYS_process_madvise SYS_process_vm_readv SYS_process_vm_writev SYS_ptrace
        SYS_quotactl SYS_reboot SYS_request_key SYS_setdomainname SYS_sethostname SYS_setns SYS_settimeofday
        SYS_swapoff SYS_swapon SYS_syslog SYS_umount2 SYS_unshare SYS_userfaultfd SYS_vhangup
        SYS_clock_settime SYS_clock_adjtime SYS_adjtimex SYS_setuid SYS_setgid SYS_setreuid SYS_setregid
        SYS_setresuid SYS_setresgid SYS_setgroups SYS_setfsuid SYS_setfsgid SYS_capset
    )
    .to_vec()
});

/// Calls that serving takes, whatever their arguments.
static SERVING: LazyLock<Vec<(&str, i64)>> = LazyLock::new(|| {
    let mut all = calls!(
        // Files.
        SYS_read SYS_write SYS_readv SYS_writev SYS_pread64 SYS_pwrite64 SYS_preadv SYS_pwritev
        SYS_preadv2 SYS_pwritev2 SYS_close SYS_close_range SYS_lseek SYS_fstat SYS_newfstatat SYS_statx
        SYS_statfs SYS_fstatfs SYS_openat SYS_openat2 SYS_faccessat SYS_faccessat2 SYS_readlinkat
        SYS_getdents64 SYS_fcntl SYS_flock SYS_fsync SYS_fdatasync SYS_sync_file_range SYS_syncfs
        SYS_ftruncate SYS_truncate SYS_fallocate SYS_fadvise64 SYS_readahead SYS_copy_file_range
        SYS_sendfile SYS_splice SYS_mkdirat SYS_unlinkat SYS_renameat SYS_renameat2 SYS_linkat
        SYS_fchmod SYS_fchmodat SYS_fchmodat2 SYS_fchown SYS_fchownat SYS_utimensat SYS_umask
        SYS_getxattr SYS_fgetxattr SYS_lgetxattr SYS_listxattr SYS_flistxattr SYS_llistxattr
        SYS_setxattr SYS_fsetxattr SYS_lsetxattr SYS_removexattr SYS_fremovexattr SYS_lremovexattr
        SYS_dup SYS_dup3 SYS_pipe2 SYS_getcwd SYS_memfd_create
        // Memory.
        SYS_brk SYS_mmap SYS_mprotect SYS_munmap SYS_mremap SYS_madvise SYS_mincore SYS_msync SYS_mlock
        SYS_mlock2 SYS_munlock SYS_membarrier
        // Threads, signals, time.
        SYS_futex SYS_set_robust_list SYS_get_robust_list SYS_rseq SYS_set_tid_address SYS_rt_sigaction
        SYS_rt_sigprocmask SYS_rt_sigreturn SYS_rt_sigtimedwait SYS_sigaltstack SYS_gettid SYS_getpid
        SYS_getppid SYS_sched_yield SYS_sched_getaffinity SYS_getcpu SYS_exit SYS_exit_group
        SYS_restart_syscall SYS_nanosleep SYS_clock_nanosleep SYS_clock_gettime SYS_clock_getres
        SYS_gettimeofday SYS_times SYS_getrusage SYS_getrandom SYS_uname SYS_sysinfo SYS_getrlimit
        SYS_getuid SYS_geteuid SYS_getgid SYS_getegid SYS_getgroups SYS_getresuid SYS_getresgid
        SYS_capget
        // Sockets, and waiting for them.
        SYS_socket SYS_socketpair SYS_connect SYS_accept SYS_accept4 SYS_bind SYS_listen SYS_getsockname
        SYS_getpeername SYS_getsockopt SYS_setsockopt SYS_sendto SYS_recvfrom SYS_sendmsg SYS_recvmsg
        SYS_sendmmsg SYS_recvmmsg SYS_shutdown SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait
        SYS_epoll_pwait2 SYS_ppoll SYS_pselect6 SYS_eventfd2 SYS_timerfd_create SYS_timerfd_settime
        SYS_timerfd_gettime
    )
    .to_vec();
    // Kernels of older architectures have these names, too.
    #[cfg(target_arch = "x86_64")]
    all.extend(calls!(
        SYS_open SYS_stat SYS_lstat SYS_access SYS_readlink SYS_mkdir SYS_rmdir SYS_unlink SYS_rename
        SYS_link SYS_chmod SYS_chown SYS_lchown SYS_utimes SYS_dup2 SYS_pipe SYS_poll SYS_select
        SYS_epoll_create SYS_epoll_wait SYS_eventfd SYS_time SYS_arch_prctl SYS_getdents
    ));
    all
});

/// Calls that serving takes with some arguments alone; the conditions of a line hold together.
fn limited() -> Vec<(&'static str, i64, Vec<Vec<Condition>>)> {
    use SeccompCmpOp::{Eq, MaskedEq};
    let pid = u64::from(std::process::id());
    let any_of = |place: u8, values: &[u64]| -> Vec<Vec<Condition>> {
        values
            .iter()
            .map(|value| vec![(place, Eq, *value)])
            .collect()
    };
    let threads = number(libc::CLONE_THREAD | libc::CLONE_VM);
    let spaces = number(
        libc::CLONE_NEWNS
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUSER
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWCGROUP,
    );
    vec![
        // Threads, and no processes.
        (
            "SYS_clone",
            libc::SYS_clone,
            vec![vec![(0, MaskedEq(threads | spaces), threads)]],
        ),
        ("SYS_tgkill", libc::SYS_tgkill, any_of(0, &[pid])),
        // Reading limits, not setting them.
        ("SYS_prlimit64", libc::SYS_prlimit64, any_of(2, &[0])),
        (
            "SYS_prctl",
            libc::SYS_prctl,
            any_of(
                0,
                &[
                    number(libc::PR_SET_NAME),
                    number(libc::PR_GET_NAME),
                    number(libc::PR_SET_VMA),
                    number(libc::PR_GET_DUMPABLE),
                    number(libc::PR_GET_NO_NEW_PRIVS),
                    number(libc::PR_CAPBSET_READ),
                    PR_GET_AUXV,
                    // For walls that are built on these.
                    number(libc::PR_SET_NO_NEW_PRIVS),
                ],
            ),
        ),
        (
            "SYS_ioctl",
            libc::SYS_ioctl,
            any_of(
                1,
                &[
                    libc::FIONBIO,
                    libc::FIONREAD,
                    libc::FIOCLEX,
                    libc::TCGETS,
                    libc::TIOCGWINSZ,
                    libc::FICLONE,
                    libc::FICLONERANGE,
                ],
            ),
        ),
    ]
}

/// From <linux/prctl.h>: a process reads what the kernel has told it at its start.
const PR_GET_AUXV: u64 = 0x4155_5856;

/// The bits of a flag.
#[allow(clippy::cast_sign_loss, reason = "flags and small numbers")]
const fn number(flag: i32) -> u64 {
    flag as u64
}

/// Whether a call fails for its arguments alone. Called by a signal handler.
pub(super) fn allowed_with_other_arguments(call: i64) -> bool {
    [
        libc::SYS_clone,
        libc::SYS_tgkill,
        libc::SYS_prlimit64,
        libc::SYS_prctl,
        libc::SYS_ioctl,
        libc::SYS_mmap,
        libc::SYS_mprotect,
    ]
    .contains(&call)
}

/// The name of a call that is known here.
pub(super) fn name(call: i64) -> Option<&'static str> {
    let limited = limited()
        .into_iter()
        .map(|(name, number, _)| (name, number));
    let all = HOSTILE.iter().chain(SERVING.iter()).copied().chain(limited);
    let more = calls!(SYS_kill SYS_tkill SYS_fork SYS_vfork SYS_clone3 SYS_pkey_mprotect SYS_mknodat SYS_shmat);
    let name = all.chain(more).find(|(_, number)| *number == call)?.0;
    name.strip_prefix("SYS_")
}

/// Builds the walls that this thread and all that it starts have. Says how far they go.
///
/// # Errors
/// Why there are none, for people.
pub(super) fn everywhere(wanted: Seccomp) -> Result<String, String> {
    let (kill, trap, quiet) = match wanted {
        Seccomp::Off => return Err("server.seccomp is \"off\"".to_owned()),
        Seccomp::Log => (SeccompAction::Log, SeccompAction::Log, false),
        Seccomp::Enforce => (SeccompAction::KillProcess, SeccompAction::Trap, true),
    };
    if quiet {
        refused::handle().map_err(|error| error.to_string())?;
        apply(
            unavailable(),
            SeccompAction::Allow,
            SeccompAction::Errno(number_of(libc::ENOSYS)),
        )?;
        apply(
            families()?,
            SeccompAction::Allow,
            SeccompAction::Errno(number_of(libc::EAFNOSUPPORT)),
        )?;
    }
    apply(hostile()?, SeccompAction::Allow, kill)?;
    let mut allowed: Rules = SERVING
        .iter()
        .map(|(_, call)| (*call, Vec::new()))
        .collect();
    for (_, call, lines) in limited() {
        allowed.insert(
            call,
            lines
                .iter()
                .map(|line| rule(line))
                .collect::<Result<_, _>>()?,
        );
    }
    // For walls that are built on these, on threads that serve.
    let building = [
        libc::SYS_seccomp,
        libc::SYS_landlock_create_ruleset,
        libc::SYS_landlock_add_rule,
        libc::SYS_landlock_restrict_self,
    ];
    allowed.extend(building.map(|call| (call, Vec::new())));
    // Refused by the filter above, quietly.
    allowed.extend(unavailable());
    apply(allowed, trap, SeccompAction::Allow)?;
    Ok(match wanted {
        Seccomp::Log => {
            "all are done; those that serving does not take are in the kernel's audit log"
                .to_owned()
        }
        _ => format!("{} of them are allowed", SERVING.len() + limited().len()),
    })
}

/// Builds the walls that those threads have that serve: no memory that holds code, and no sockets of
/// this machine's other services.
///
/// # Errors
/// Why there are none, for people.
pub(super) fn serving(wanted: Seccomp) -> Result<String, String> {
    let (trap, quiet) = match wanted {
        Seccomp::Off => return Err("server.seccomp is \"off\"".to_owned()),
        Seccomp::Log => (SeccompAction::Log, SeccompAction::Log),
        Seccomp::Enforce => (
            SeccompAction::Trap,
            SeccompAction::Errno(number_of(libc::EAFNOSUPPORT)),
        ),
    };
    let unix = vec![(0, SeccompCmpOp::Eq, number(libc::AF_UNIX))];
    apply(
        BTreeMap::from([(libc::SYS_socket, vec![rule(&unix)?])]),
        SeccompAction::Allow,
        quiet,
    )?;
    let code = number(libc::PROT_EXEC);
    let code = vec![(2, SeccompCmpOp::MaskedEq(code), code)];
    let mut forbidden = Rules::new();
    for call in [libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_pkey_mprotect] {
        forbidden.insert(call, vec![rule(&code)?]);
    }
    apply(forbidden, SeccompAction::Allow, trap)?;
    Ok(match wanted {
        Seccomp::Log => "it is mapped; the kernel's audit log says so".to_owned(),
        _ => "no serving thread maps any; the one that loads plugins does".to_owned(),
    })
}

/// Builds the walls of a process that compiles: those of a serving thread, and no sockets at all.
///
/// # Errors
/// Why there are none, for people.
pub(super) fn compiling() -> Result<(), String> {
    everywhere(Seccomp::Enforce)?;
    serving(Seccomp::Enforce)?;
    let sockets = [
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
    ];
    let sockets = sockets.map(|call| (call, Vec::new()));
    apply(
        sockets.into(),
        SeccompAction::Allow,
        SeccompAction::KillProcess,
    )
}

/// Calls that libraries try, and do without.
fn unavailable() -> Rules {
    // `clone3` has its flags in memory, where no filter looks: libraries take `clone` then.
    BTreeMap::from([(libc::SYS_clone3, Vec::new())])
}

/// Sockets of other families than those that are served.
fn families() -> Result<Rules, String> {
    let served = [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX];
    let other = served.map(|family| (0, SeccompCmpOp::Ne, number(family)));
    Ok(BTreeMap::from([(libc::SYS_socket, vec![rule(&other)?])]))
}

fn hostile() -> Result<Rules, String> {
    let mut rules: Rules = HOSTILE
        .iter()
        .map(|(_, call)| (*call, Vec::new()))
        .collect();
    let packet = [(0, SeccompCmpOp::Eq, number(libc::AF_PACKET))];
    // Beside the type stand flags.
    let raw = [(1, SeccompCmpOp::MaskedEq(0xf), number(libc::SOCK_RAW))];
    let raw_there = [
        (0, SeccompCmpOp::Ne, number(libc::AF_NETLINK)),
        raw[0].clone(),
    ];
    rules.insert(libc::SYS_socket, vec![rule(&packet)?, rule(&raw_there)?]);
    Ok(rules)
}

fn rule(conditions: &[Condition]) -> Result<SeccompRule, String> {
    let conditions = conditions.iter().map(|(place, operator, value)| {
        SeccompCondition::new(*place, Dword, operator.clone(), *value)
    });
    let conditions = conditions.collect::<Result<_, _>>();
    conditions
        .and_then(SeccompRule::new)
        .map_err(|error| error.to_string())
}

fn apply(rules: Rules, otherwise: SeccompAction, matched: SeccompAction) -> Result<(), String> {
    let architecture = env::consts::ARCH
        .try_into()
        .map_err(|_| format!("not known for {}", env::consts::ARCH))?;
    let filter = SeccompFilter::new(rules, otherwise, matched, architecture);
    let program: BpfProgram = filter
        .and_then(TryInto::try_into)
        .map_err(|error| error.to_string())?;
    apply_filter(&program).map_err(|error| error.to_string())
}

#[allow(clippy::cast_sign_loss, reason = "error numbers are positive")]
const fn number_of(error: i32) -> u32 {
    error as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_both_served_and_hostile() {
        for (name, call) in SERVING.iter() {
            assert!(HOSTILE.iter().all(|(_, other)| other != call), "{name}");
            assert!(
                !allowed_with_other_arguments(*call)
                    || matches!(*call, libc::SYS_mmap | libc::SYS_mprotect)
            );
        }
        for (name, call, _) in limited() {
            assert!(allowed_with_other_arguments(call), "{name}");
        }
        assert_eq!(name(libc::SYS_execve), Some("execve"));
        assert_eq!(name(libc::SYS_openat), Some("openat"));
    }
}

//! System calls that the filter has refused: they fail like unknown ones, and the log names them.

use std::{
    ffi::{c_int, c_void},
    io, mem, ptr,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

/// More than there are system calls.
const CALLS: usize = 512;
/// How often the log hears of new ones.
const LOOK: Duration = Duration::from_secs(1);

/// How often each was refused.
static REFUSED: [AtomicU32; CALLS] = [const { AtomicU32::new(0) }; CALLS];

/// Has calls that the filter traps fail: with EPERM those that are allowed with other arguments, with
/// ENOSYS all others, as on a kernel that does not have them.
///
/// # Errors
/// Of the system.
#[allow(unsafe_code, reason = "no library sets the result of a trapped call")]
pub(super) fn handle() -> io::Result<()> {
    // SAFETY: `sigaction` is plain data, for which zeros are valid; the handler does nothing but what
    // may be done in one: it reads the arguments that the kernel gives it, which live as long as it
    // runs, and adds to an atomic number.
    let done = unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = trapped;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        libc::sigaction(libc::SIGSYS, &raw const action, ptr::null_mut())
    };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The beginning of `siginfo_t` for SIGSYS: sigaction(2).
#[repr(C)]
struct CallInfo {
    signal: c_int,
    error: c_int,
    code: c_int,
    address: *mut c_void,
    call: c_int,
    architecture: u32,
}

#[allow(unsafe_code, reason = "a signal handler gets pointers")]
extern "C" fn trapped(_: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel gives SIGSYS handlers a `siginfo_t` of this shape and a `ucontext_t`.
    unsafe {
        let call = (*info.cast::<CallInfo>()).call;
        let known = super::seccomp::allowed_with_other_arguments(call.into());
        let error = if known { libc::EPERM } else { libc::ENOSYS };
        let context = &mut *context.cast::<libc::ucontext_t>();
        set_result(context, -i64::from(error));
        let call = usize::try_from(call).unwrap_or(CALLS);
        if let Some(count) = REFUSED.get(call) {
            count.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn set_result(context: &mut libc::ucontext_t, result: i64) {
    // REG_RAX
    if let Some(register) = context.uc_mcontext.gregs.get_mut(13) {
        *register = result;
    }
}

#[cfg(target_arch = "aarch64")]
fn set_result(context: &mut libc::ucontext_t, result: i64) {
    if let Some(register) = context.uc_mcontext.regs.get_mut(0) {
        *register = result.cast_unsigned();
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn set_result(_: &mut libc::ucontext_t, _: i64) {}

/// How often calls were refused since the start, by their numbers.
pub fn counts() -> impl Iterator<Item = (usize, u32)> {
    let counts = REFUSED.iter().map(|count| count.load(Relaxed)).enumerate();
    counts.filter(|(_, count)| *count > 0)
}

/// Writes to the log what is refused, for ever.
pub async fn follow() {
    let mut told = vec![0; CALLS];
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        for (call, count) in counts() {
            let Some(told) = told.get_mut(call).filter(|told| **told != count) else {
                continue;
            };
            let new = count.wrapping_sub(*told);
            *told = count;
            let name = i64::try_from(call).ok().and_then(super::seccomp::name);
            tracing::error!(
                call = name.map_or_else(|| call.to_string(), str::to_owned),
                times = new,
                "a system call was refused that serving does not take: a defect of the server, or \
                 an intruder (server.seccomp)"
            );
        }
    }
}

//! Code lists, each in the words of the contract where it has such (specification 1.5.4, `reference/devices.md` 1.9).

use crate::wire::open_protocol::layout::Words;

/// Declares a code list.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, silent [$($silent:literal),*], { $($code:literal = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        pub static $name: Words = Words {
            codes: &[$(($code, $word)),+],
            words: &[$($word),+],
            silent: &[$($silent),*],
        };
    };
}

words!(
    /// OK and not OK.
    VERDICT, silent [], { 0 = "nok", 1 = "ok" }
);
words!(
    /// Verdict on a batch; 2, not used, is absent.
    BATCH, silent [2], { 0 = "nok", 1 = "ok" }
);
words!(
    /// Verdict on one value.
    LIMIT, silent [], { 0 = "low", 1 = "ok", 2 = "high" }
);
words!(
    /// Verdict on one value as MTF6000 counts it (PID 30241, 30242).
    LIMIT_MTF, silent [], { 1 = "ok", 2 = "low", 3 = "high" }
);
words!(
    /// What a result is.
    RESULT_TYPE, silent [], {
        1 = "tightening", 2 = "loosening", 3 = "batch_increment", 4 = "batch_decrement", 5 = "bypass",
        6 = "abort_job", 7 = "sync", 8 = "reference_setup",
    }
);
words!(
    /// What MTF6000 did (PID 30201).
    KIND_MTF, silent [], { 1 = "tighten", 2 = "loosen" }
);
words!(
    /// How it ended on MTF6000 (PID 30202).
    RESULT_MTF, silent [], { 1 = "ok", 2 = "cancelled", 3 = "error" }
);
words!(
    /// Why a tightening failed on MTF6000 (PID 30205).
    ERROR_MTF, silent [], {
        2 = "high", 3 = "low", 4 = "trigger_lost", 5 = "bit_slip", 6 = "rehit", 7 = "no_seating", 8 = "thread",
    }
);
words!(
    /// Which torque the final torque of MTF6000 is (PID 30236).
    TORQUE_TYPE_MTF, silent [], { 1 = "peak", 2 = "clamp", 3 = "final", 4 = "average" }
);
words!(
    /// Unit of measure of the torques of a telegram, as UCUM reads it.
    TORQUE_UOM, silent [], {
        1 = "N.m", 2 = "[lbf_av].[ft_i]", 3 = "[lbf_av].[in_i]", 4 = "kgf.m", 5 = "kgf.cm", 6 = "[lbf_av].[in_i]/16",
        7 = "%", 8 = "N.cm",
    }
);
words!(
    /// How a screw is turned.
    ROTATION, silent [], { 1 = "cw", 2 = "ccw" }
);
words!(
    /// Where a job stands.
    JOB_STATUS, silent [], { 0 = "not_done", 1 = "ok", 2 = "nok", 3 = "aborted" }
);
words!(
    /// What a job counts.
    JOB_MODE, silent [], { 0 = "ok_only", 1 = "ok_and_nok" }
);
words!(
    /// What the last tightening did to the job; 0, off, is absent.
    JOB_TIGHTENING, silent [0], {
        1 = "ok", 2 = "nok", 3 = "aborted", 4 = "incremented", 5 = "decremented", 6 = "bypassed", 7 = "reset_batch",
        8 = "loosening", 9 = "free_batch", 10 = "job_aborted",
    }
);
words!(
    /// What became of an identifier.
    IDENTIFIER, silent [], {
        0 = "not_accepted", 1 = "accepted", 2 = "bypassed", 3 = "reset", 4 = "next", 5 = "initial",
    }
);
words!(
    /// What a result of a 1201 came from.
    OPERATION, silent [], { 0 = "hand_tool", 1 = "sync", 2 = "pressing", 3 = "drilling", 4 = "pulse" }
);
words!(
    /// What is plotted.
    TRACE, silent [], {
        1 = "angle", 2 = "torque", 3 = "current", 4 = "gradient", 5 = "stroke", 6 = "force",
    }
);
words!(
    /// What kind of controller it is; 0, not set, is absent.
    SYSTEM, silent [0], { 1 = "PF4000", 2 = "PowerMACS 4000", 3 = "PF6000", 4 = "MicroTorque" }
);
words!(
    /// Strategy of a tightening.
    STRATEGY, silent [], {
        1 = "torque control", 2 = "torque control / angle monitoring", 3 = "torque and angle control",
        4 = "angle control / torque monitoring", 5 = "DS control", 6 = "DS control / torque monitoring",
        7 = "reverse angle", 8 = "reverse torque", 9 = "click wrench", 10 = "rotate spindle forward",
        11 = "torque or angle control", 12 = "rotate spindle reverse", 13 = "home position forward",
        14 = "EP monitoring", 15 = "yield", 16 = "EP fixed", 17 = "EP control", 18 = "EP angle shutoff",
        19 = "yield / torque or angle control", 20 = "snug gradient", 21 = "residual torque / time",
        22 = "residual torque / angle", 23 = "breakaway peak", 24 = "loose and tighten",
        25 = "home position reverse", 26 = "PVT compensation with snug", 99 = "no strategy",
    }
);

/// Strategy options, from bit 0 up.
pub const OPTIONS: [&str; 11] = [
    "torque",
    "angle",
    "batch",
    "prevail torque monitoring",
    "prevail torque compensation",
    "self-tap",
    "rundown",
    "current monitoring",
    "DS control",
    "click wrench",
    "RBW monitoring",
];

/// Tightening errors: bit 1 is the first; those of error status 2 follow from 33.
pub const ERRORS: [&str; 50] = [
    "rundown angle max",
    "rundown angle min",
    "torque max",
    "angle max",
    "self-tap torque max",
    "self-tap torque min",
    "prevail torque max",
    "prevail torque min",
    "prevail torque compensation overflow",
    "current monitoring max",
    "post view torque min",
    "post view torque max",
    "post view torque angle too small",
    "trigger lost",
    "torque below target",
    "tool hot",
    "multistage abort",
    "rehit",
    "DS measure failed",
    "current limit reached",
    "end time-out",
    "remove fastener limit exceeded",
    "disable drive",
    "transducer lost",
    "transducer shorted",
    "transducer corrupt",
    "sync time-out",
    "dynamic current monitoring min",
    "dynamic current monitoring max",
    "angle max monitor",
    "yield nut off",
    "yield too few samples",
    "drive deactivated",
    "tool stall",
    "drive hot",
    "gradient monitoring high",
    "gradient monitoring low",
    "reaction bar failed",
    "snug max",
    "cycle abort",
    "necking failure",
    "effective loosening",
    "over speed",
    "no residual torque",
    "positioning fail",
    "snug monitoring low",
    "snug monitoring high",
    "dynamic min current",
    "dynamic max current",
    "latent result",
];

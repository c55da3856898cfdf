//! What the programs are told about the running kernel's structs.

macro_rules! fields {
    ($($field:ident)*) => {
        /// An offset that the loader looks up in the running kernel's types (its table says where), or the distance from one
        /// element to the next: its place in [`Offsets`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        #[expect(missing_docs, reason = "named after struct and member; the loader's table has the path of each")]
        pub enum Field {
            $($field,)*
        }

        /// How many there are.
        pub const FIELDS: usize = [$(Field::$field),*].len();
    };
}

fields! {
    TaskMm
    TaskPid
    TaskTgid
    TaskComm
    TaskSignal
    TaskFlags
    TaskRealCred
    TaskGroupLeader
    TaskStartBoottime
    TaskCgroups
    TaskThreadNode
    TaskVforkDone
    TaskRealParent
    TaskThreadPid
    PidLevel
    PidNumbers
    PidNumbersStride
    UpidNs
    PidNsChildReaper
    SignalOomScoreAdj
    SignalLive
    SignalThreadHead
    MmRssStat
    MmRssStride
    MmPgtablesBytes
    MmTotalVm
    MmFlags
    MmUsers
    CredUid
    CssSetMemory
    CssCgroup
    CssParent
    CssChildren
    CssSibling
    CssSerialNr
    CgroupKn
    KernfsParent
    KernfsName
    KernfsId
    MemcgCss
    MemcgUsage
    MemcgMax
    MemcgHigh
    MemcgSwapUsage
    MemcgSwapMax
    MemcgOomGroup
    OcMemcg
    OcGfpMask
    OcOrder
    OcTotalpages
    OcChosen
    OcChosenPoints
    OcConstraint
    ZonerefZone
    ZoneNode
    ZoneName
}

/// In bytes; [`crate::ABSENT`] where this kernel has no such field.
pub type Offsets = [u64; FIELDS];

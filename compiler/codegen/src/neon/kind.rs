//! What pipelines distinguish of instructions.
//!
//! Not an instruction set (`forms.rs`) and not a core (`cores/`): one name for all instructions that take the same units for the same time on every core that is
//! described here. The idea: a form says its kind once, and a core has one row per kind.

/// Instructions of one kind are alike to every core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Additions, logic, moves, extensions, selections and comparisons of general registers; shifts by constants.
    Integer,
    /// With a shifted operand.
    IntegerShifted,
    /// Products of general registers; the high half of one.
    Multiply,
    MultiplyHigh,
    Branch,
    /// To a general register.
    Load,
    LoadPair,
    Store,
    StorePair,
    Prefetch,
    /// To a vector register: up to 8 bytes, 16, and two registers of 4 or 8 or of 16 bytes.
    LoadVector,
    LoadVectorLong,
    LoadVectorPair,
    LoadVectorLongPair,
    /// One element to all lanes, or to one lane of a register.
    LoadSplat,
    LoadLane,
    StoreVector,
    StoreVectorLong,
    StoreVectorPair,
    StoreVectorLongPair,
    StoreLane,
    /// Logic, selection by a mask, moves of vectors, constants.
    Logic,
    /// Additions, subtractions, negation, minima, maxima and comparisons of integers.
    Add,
    /// The same where the result is twice as long, or saturates.
    AddLong,
    AddSaturating,
    /// Neighbours added: ADDP, SADDLP; with accumulation: SADALP.
    AddPairs,
    AddPairsAccumulate,
    /// Over all lanes: ADDV, SMAXV, UMAXV.
    Across,
    /// Shifts by constants: plain, widening (SSHLL, SXTL), narrowing (SHRN), with accumulation (SSRA), rounding or saturating.
    Shift,
    ShiftLong,
    ShiftNarrow,
    ShiftAccumulate,
    ShiftRound,
    /// Shifts by the lanes of a register: SSHL, USHL; with rounding or saturation (SRSHL, SQRSHL).
    ShiftByLanes,
    ShiftRoundByLanes,
    /// XTN, SQXTN, SQXTUN, UQXTN.
    Narrow,
    /// Products of integers: MUL, MLA, MLS; SMULL, UMULL; SMLAL; SQDMULH, SQRDMULH.
    Product,
    ProductAccumulate,
    ProductLong,
    ProductLongAccumulate,
    ProductHigh,
    /// SDOT, UDOT, USDOT; SMMLA, USMMLA.
    Dot,
    MatrixDot,
    /// TRN, EXT, DUP of a lane, INS of a lane, REV.
    Permute,
    /// ZIP, UZP.
    Zip,
    Table,
    /// A general register to all lanes or to one, and a lane to a general register.
    FromGeneral,
    ToGeneral,
    FloatAdd,
    FloatMultiply,
    FloatMultiplyAdd,
    /// Comparisons, minima and maxima of floats.
    FloatCompare,
    /// Between floats and integers, roundings to integral floats.
    FloatConvert,
    /// Between lengths of floats.
    FloatLength,
    FloatDivide,
    FloatRoot,
}

impl Kind {
    pub fn stores(self) -> bool {
        use Kind as K;
        let vector = matches!(self, K::StoreVector | K::StoreVectorLong | K::StoreVectorPair | K::StoreVectorLongPair | K::StoreLane);
        vector || matches!(self, K::Store | K::StorePair)
    }
    pub fn loads(self) -> bool {
        use Kind as K;
        let vector = matches!(self, K::LoadVector | K::LoadVectorLong | K::LoadVectorPair | K::LoadVectorLongPair);
        vector || matches!(self, K::Load | K::LoadPair | K::LoadSplat | K::LoadLane)
    }
    pub fn touches_memory(self) -> bool {
        self.loads() || self.stores() || self == Kind::Prefetch
    }
}

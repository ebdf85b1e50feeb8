//! Forms that load and store. Offsets are in bytes.

use super::{Form, Kind, Sizing, forms, lists};

forms! {
    // General registers: multiples of the size from zero up, any offset of nine bits, a register.
    " <=xt>, [<pn>, #<u12*8>]", Fixed, NONE { LDR_X "ldr" 0xf940_0000 Load; }
    " <=wt>, [<pn>, #<u12*4>]", Fixed, NONE { LDR_W "ldr" 0xb940_0000 Load; }
    " <=xt>, [<pn>, #<u12*4>]", Fixed, NONE { LDRSW "ldrsw" 0xb980_0000 Load; }
    " <=wt>, [<pn>, #<u12*2>]", Fixed, NONE { LDRH "ldrh" 0x7940_0000 Load; }
    " <=xt>, [<pn>, #<u12*2>]", Fixed, NONE { LDRSH "ldrsh" 0x7980_0000 Load; }
    " <=wt>, [<pn>, #<u12>]", Fixed, NONE { LDRB "ldrb" 0x3940_0000 Load; }
    " <=xt>, [<pn>, #<u12>]", Fixed, NONE { LDRSB "ldrsb" 0x3980_0000 Load; }
    " <xt>, [<pn>, #<u12*8>]", Fixed, NONE { STR_X "str" 0xf900_0000 Store; }
    " <wt>, [<pn>, #<u12*4>]", Fixed, NONE { STR_W "str" 0xb900_0000 Store; }
    " <wt>, [<pn>, #<u12*2>]", Fixed, NONE { STRH "strh" 0x7900_0000 Store; }
    " <wt>, [<pn>, #<u12>]", Fixed, NONE { STRB "strb" 0x3900_0000 Store; }
    " <=xt>, [<pn>, #<s9>]", Fixed, NONE {
        LDUR_X "ldur" 0xf840_0000 Load;
        LDURSW "ldursw" 0xb880_0000 Load;
        LDURSH "ldursh" 0x7880_0000 Load;
        LDURSB "ldursb" 0x3880_0000 Load;
    }
    " <=wt>, [<pn>, #<s9>]", Fixed, NONE {
        LDUR_W "ldur" 0xb840_0000 Load;
        LDURH "ldurh" 0x7840_0000 Load;
        LDURB "ldurb" 0x3840_0000 Load;
    }
    " <xt>, [<pn>, #<s9>]", Fixed, NONE { STUR_X "stur" 0xf800_0000 Store; }
    " <wt>, [<pn>, #<s9>]", Fixed, NONE {
        STUR_W "stur" 0xb800_0000 Store;
        STURH "sturh" 0x7800_0000 Store;
        STURB "sturb" 0x3800_0000 Store;
    }
    " <=xt>, [<pn>, <xm>]", Fixed, NONE {
        LDR_X_X "ldr" 0xf860_6800 Load;
        LDRSW_X "ldrsw" 0xb8a0_6800 Load;
        LDRSH_X "ldrsh" 0x78a0_6800 Load;
        LDRSB_X "ldrsb" 0x38a0_6800 Load;
    }
    " <=wt>, [<pn>, <xm>]", Fixed, NONE {
        LDR_W_X "ldr" 0xb860_6800 Load;
        LDRH_X "ldrh" 0x7860_6800 Load;
        LDRB_X "ldrb" 0x3860_6800 Load;
    }
    " <xt>, [<pn>, <xm>]", Fixed, NONE { STR_X_X "str" 0xf820_6800 Store; }
    " <wt>, [<pn>, <xm>]", Fixed, NONE {
        STR_W_X "str" 0xb820_6800 Store;
        STRH_X "strh" 0x7820_6800 Store;
        STRB_X "strb" 0x3820_6800 Store;
    }
    " <=xt>, <to19*4>", Fixed, NONE { LDR_X_LITERAL "ldr" 0x5800_0000 Load; }
    " <=xt>, <=xu>, [<pn>, #<s7*8>]", Fixed, NONE { LDP_X "ldp" 0xa940_0000 LoadPair; }
    " <xt>, <xu>, [<pn>, #<s7*8>]", Fixed, NONE { STP_X "stp" 0xa900_0000 StorePair; }
    " pldl1keep, [<pn>, #<u12*8>]", Fixed, NONE { PRFM "prfm" 0xf980_0000 Prefetch; }
    " pldl1keep, [<pn>, #<s9>]", Fixed, NONE { PRFUM "prfum" 0xf880_0000 Prefetch; }
    " pldl1keep, [<pn>, <xm>]", Fixed, NONE { PRFM_X "prfm" 0xf8a0_6800 Prefetch; }

    // Vector registers.
    " <=bt>, [<pn>, #<u12>]", Fixed, NONE { LDR_B "ldr" 0x3d40_0000 LoadVector; }
    " <=ht>, [<pn>, #<u12*2>]", Fixed, NONE { LDR_H "ldr" 0x7d40_0000 LoadVector; }
    " <=st>, [<pn>, #<u12*4>]", Fixed, NONE { LDR_S "ldr" 0xbd40_0000 LoadVector; }
    " <=dt>, [<pn>, #<u12*8>]", Fixed, NONE { LDR_D "ldr" 0xfd40_0000 LoadVector; }
    " <=qt>, [<pn>, #<u12*16>]", Fixed, NONE { LDR_Q "ldr" 0x3dc0_0000 LoadVectorLong; }
    " <bt>, [<pn>, #<u12>]", Fixed, NONE { STR_B "str" 0x3d00_0000 StoreVector; }
    " <ht>, [<pn>, #<u12*2>]", Fixed, NONE { STR_H "str" 0x7d00_0000 StoreVector; }
    " <st>, [<pn>, #<u12*4>]", Fixed, NONE { STR_S "str" 0xbd00_0000 StoreVector; }
    " <dt>, [<pn>, #<u12*8>]", Fixed, NONE { STR_D "str" 0xfd00_0000 StoreVector; }
    " <qt>, [<pn>, #<u12*16>]", Fixed, NONE { STR_Q "str" 0x3d80_0000 StoreVectorLong; }
    " <=bt>, [<pn>, #<s9>]", Fixed, NONE { LDUR_B "ldur" 0x3c40_0000 LoadVector; }
    " <=ht>, [<pn>, #<s9>]", Fixed, NONE { LDUR_H "ldur" 0x7c40_0000 LoadVector; }
    " <=st>, [<pn>, #<s9>]", Fixed, NONE { LDUR_S "ldur" 0xbc40_0000 LoadVector; }
    " <=dt>, [<pn>, #<s9>]", Fixed, NONE { LDUR_D "ldur" 0xfc40_0000 LoadVector; }
    " <=qt>, [<pn>, #<s9>]", Fixed, NONE { LDUR_Q "ldur" 0x3cc0_0000 LoadVectorLong; }
    " <bt>, [<pn>, #<s9>]", Fixed, NONE { STUR_B "stur" 0x3c00_0000 StoreVector; }
    " <ht>, [<pn>, #<s9>]", Fixed, NONE { STUR_H "stur" 0x7c00_0000 StoreVector; }
    " <st>, [<pn>, #<s9>]", Fixed, NONE { STUR_S "stur" 0xbc00_0000 StoreVector; }
    " <dt>, [<pn>, #<s9>]", Fixed, NONE { STUR_D "stur" 0xfc00_0000 StoreVector; }
    " <qt>, [<pn>, #<s9>]", Fixed, NONE { STUR_Q "stur" 0x3c80_0000 StoreVectorLong; }
    " <=bt>, [<pn>, <xm>]", Fixed, NONE { LDR_B_X "ldr" 0x3c60_6800 LoadVector; }
    " <=ht>, [<pn>, <xm>]", Fixed, NONE { LDR_H_X "ldr" 0x7c60_6800 LoadVector; }
    " <=st>, [<pn>, <xm>]", Fixed, NONE { LDR_S_X "ldr" 0xbc60_6800 LoadVector; }
    " <=dt>, [<pn>, <xm>]", Fixed, NONE { LDR_D_X "ldr" 0xfc60_6800 LoadVector; }
    " <=qt>, [<pn>, <xm>]", Fixed, NONE { LDR_Q_X "ldr" 0x3ce0_6800 LoadVectorLong; }
    " <bt>, [<pn>, <xm>]", Fixed, NONE { STR_B_X "str" 0x3c20_6800 StoreVector; }
    " <ht>, [<pn>, <xm>]", Fixed, NONE { STR_H_X "str" 0x7c20_6800 StoreVector; }
    " <st>, [<pn>, <xm>]", Fixed, NONE { STR_S_X "str" 0xbc20_6800 StoreVector; }
    " <dt>, [<pn>, <xm>]", Fixed, NONE { STR_D_X "str" 0xfc20_6800 StoreVector; }
    " <qt>, [<pn>, <xm>]", Fixed, NONE { STR_Q_X "str" 0x3ca0_6800 StoreVectorLong; }
    " <=st>, <to19*4>", Fixed, NONE { LDR_S_LITERAL "ldr" 0x1c00_0000 LoadVector; }
    " <=dt>, <to19*4>", Fixed, NONE { LDR_D_LITERAL "ldr" 0x5c00_0000 LoadVector; }
    " <=qt>, <to19*4>", Fixed, NONE { LDR_Q_LITERAL "ldr" 0x9c00_0000 LoadVectorLong; }
    " <=st>, <=su>, [<pn>, #<s7*4>]", Fixed, NONE { LDP_S "ldp" 0x2d40_0000 LoadVectorPair; }
    " <=dt>, <=du>, [<pn>, #<s7*8>]", Fixed, NONE { LDP_D "ldp" 0x6d40_0000 LoadVectorPair; }
    " <=qt>, <=qu>, [<pn>, #<s7*16>]", Fixed, NONE { LDP_Q "ldp" 0xad40_0000 LoadVectorLongPair; }
    " <st>, <su>, [<pn>, #<s7*4>]", Fixed, NONE { STP_S "stp" 0x2d00_0000 StoreVectorPair; }
    " <dt>, <du>, [<pn>, #<s7*8>]", Fixed, NONE { STP_D "stp" 0x6d00_0000 StoreVectorPair; }
    " <qt>, <qu>, [<pn>, #<s7*16>]", Fixed, NONE { STP_Q "stp" 0xad00_0000 StoreVectorLongPair; }
    " <=st>, [<+pn>], #<s9>", Fixed, NONE { LDR_S_POST "ldr" 0xbc40_0400 LoadVector; }
    " <=dt>, [<+pn>], #<s9>", Fixed, NONE { LDR_D_POST "ldr" 0xfc40_0400 LoadVector; }
    " <=qt>, [<+pn>], #<s9>", Fixed, NONE { LDR_Q_POST "ldr" 0x3cc0_0400 LoadVectorLong; }
    " <dt>, [<+pn>], #<s9>", Fixed, NONE { STR_D_POST "str" 0xfc00_0400 StoreVector; }
    " <qt>, [<+pn>], #<s9>", Fixed, NONE { STR_Q_POST "str" 0x3c80_0400 StoreVectorLong; }
    " { <=vt>.<T> }, [<pn>]", LanesLow, ALL { LD1R_V "ld1r" 0x0d40_c000 LoadSplat; }
    " { <+vt>.b }[<memory_b>], [<pn>]", Fixed, NONE { LD1_LANE_B "ld1" 0x0d40_0000 LoadLane; }
    " { <+vt>.h }[<memory_h>], [<pn>]", Fixed, NONE { LD1_LANE_H "ld1" 0x0d40_4000 LoadLane; }
    " { <+vt>.s }[<memory_s>], [<pn>]", Fixed, NONE { LD1_LANE_S "ld1" 0x0d40_8000 LoadLane; }
    " { <+vt>.d }[<memory_d>], [<pn>]", Fixed, NONE { LD1_LANE_D "ld1" 0x0d40_8400 LoadLane; }
    " { <vt>.b }[<memory_b>], [<pn>]", Fixed, NONE { ST1_LANE_B "st1" 0x0d00_0000 StoreLane; }
    " { <vt>.h }[<memory_h>], [<pn>]", Fixed, NONE { ST1_LANE_H "st1" 0x0d00_4000 StoreLane; }
    " { <vt>.s }[<memory_s>], [<pn>]", Fixed, NONE { ST1_LANE_S "st1" 0x0d00_8000 StoreLane; }
    " { <vt>.d }[<memory_d>], [<pn>]", Fixed, NONE { ST1_LANE_D "st1" 0x0d00_8400 StoreLane; }
}

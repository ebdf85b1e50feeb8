//! Forms of vectors of integers.

use super::{Form, Kind, Sizing, forms, lists};

forms! {
    " <=vd>.<T>, <vn>.<T>, <vm>.<T>", Lanes, ALL {
        ADD_V "add" 0x0e20_8400 Add;
        SUB_V "sub" 0x2e20_8400 Add;
        SQADD_V "sqadd" 0x0e20_0c00 AddSaturating;
        UQADD_V "uqadd" 0x2e20_0c00 AddSaturating;
        SQSUB_V "sqsub" 0x0e20_2c00 AddSaturating;
        UQSUB_V "uqsub" 0x2e20_2c00 AddSaturating;
        SSHL_V "sshl" 0x0e20_4400 ShiftByLanes;
        USHL_V "ushl" 0x2e20_4400 ShiftByLanes;
        SRSHL_V "srshl" 0x0e20_5400 ShiftRoundByLanes;
        URSHL_V "urshl" 0x2e20_5400 ShiftRoundByLanes;
        SQSHL_V "sqshl" 0x0e20_4c00 ShiftRoundByLanes;
        SQRSHL_V "sqrshl" 0x0e20_5c00 ShiftRoundByLanes;
        CMEQ_V "cmeq" 0x2e20_8c00 Add;
        CMGT_V "cmgt" 0x0e20_3400 Add;
        CMGE_V "cmge" 0x0e20_3c00 Add;
        CMHI_V "cmhi" 0x2e20_3400 Add;
        CMHS_V "cmhs" 0x2e20_3c00 Add;
        CMTST_V "cmtst" 0x0e20_8c00 Add;
        ADDP_V "addp" 0x0e20_bc00 AddPairs;
        ZIP1_V "zip1" 0x0e00_3800 Zip;
        ZIP2_V "zip2" 0x0e00_7800 Zip;
        UZP1_V "uzp1" 0x0e00_1800 Zip;
        UZP2_V "uzp2" 0x0e00_5800 Zip;
        TRN1_V "trn1" 0x0e00_2800 Permute;
        TRN2_V "trn2" 0x0e00_6800 Permute;
    }
    " <=vd>.<T>, <vn>.<T>, <vm>.<T>", Lanes, BHS {
        MUL_V "mul" 0x0e20_9c00 Product;
        SMAX_V "smax" 0x0e20_6400 Add;
        UMAX_V "umax" 0x2e20_6400 Add;
        SMIN_V "smin" 0x0e20_6c00 Add;
        UMIN_V "umin" 0x2e20_6c00 Add;
        SMAXP_V "smaxp" 0x0e20_a400 AddPairs;
        UMAXP_V "umaxp" 0x2e20_a400 AddPairs;
        SMINP_V "sminp" 0x0e20_ac00 AddPairs;
        UMINP_V "uminp" 0x2e20_ac00 AddPairs;
        SHADD_V "shadd" 0x0e20_0400 Add;
        UHADD_V "uhadd" 0x2e20_0400 Add;
        SRHADD_V "srhadd" 0x0e20_1400 Add;
        URHADD_V "urhadd" 0x2e20_1400 Add;
        SABD_V "sabd" 0x0e20_7400 Add;
        UABD_V "uabd" 0x2e20_7400 Add;
    }
    " <+vd>.<T>, <vn>.<T>, <vm>.<T>", Lanes, BHS {
        MLA_V "mla" 0x0e20_9400 ProductAccumulate;
        MLS_V "mls" 0x2e20_9400 ProductAccumulate;
    }
    " <=vd>.<T>, <vn>.<T>, <vm>.<T>", Lanes, HS {
        SQDMULH_V "sqdmulh" 0x0e20_b400 ProductHigh;
        SQRDMULH_V "sqrdmulh" 0x2e20_b400 ProductHigh;
    }
    " <=vd>.<T>, <vn>.<T>, <vm>.<T>", Long, BYTES {
        AND_V "and" 0x0e20_1c00 Logic;
        BIC_V "bic" 0x0e60_1c00 Logic;
        ORR_V "orr" 0x0ea0_1c00 Logic;
        ORN_V "orn" 0x0ee0_1c00 Logic;
        EOR_V "eor" 0x2e20_1c00 Logic;
    }
    " <+vd>.<T>, <vn>.<T>, <vm>.<T>", Long, BYTES {
        BSL_V "bsl" 0x2e60_1c00 Logic;
        BIT_V "bit" 0x2ea0_1c00 Logic;
        BIF_V "bif" 0x2ee0_1c00 Logic;
    }
    " <=vd>.<T>, <vnm>.<T>", Long, BYTES { MOV_V "mov" 0x0ea0_1c00 Logic; }
    " <=vd>.<T>, <vn>.<T>", Long, BYTES { NOT_V "not" 0x2e20_5800 Logic; }
    " <=vd>.<T>, <vn>.<T>", Lanes, ALL {
        NEG_V "neg" 0x2e20_b800 Add;
        ABS_V "abs" 0x0e20_b800 Add;
        SQABS_V "sqabs" 0x0e20_7800 AddSaturating;
        SQNEG_V "sqneg" 0x2e20_7800 AddSaturating;
    }
    " <=vd>.<T>, <vn>.<T>, #0", Lanes, ALL {
        CMEQ0_V "cmeq" 0x0e20_9800 Add;
        CMLT0_V "cmlt" 0x0e20_a800 Add;
        CMGT0_V "cmgt" 0x0e20_8800 Add;
        CMGE0_V "cmge" 0x2e20_8800 Add;
        CMLE0_V "cmle" 0x2e20_9800 Add;
    }
    " <=vd>.<T>, <vn>.<T>", Long, BYTES { CNT_V "cnt" 0x0e20_5800 Add; REV16_V "rev16" 0x0e20_1800 Permute; }
    " <=vd>.<T>, <vn>.<T>", Lanes, BHS {
        CLZ_V "clz" 0x2e20_4800 Add;
        CLS_V "cls" 0x0e20_4800 Add;
        REV64_V "rev64" 0x0e20_0800 Permute;
    }
    " <=vd>.<T>, <vn>.<T>", Lanes, BH { REV32_V "rev32" 0x2e20_0800 Permute; }

    // Twice as long.
    " <=vd>.<W>, <vn>.<T>, <vm>.<T>", Lanes, LOWER {
        SMULL_V "smull" 0x0e20_c000 ProductLong;
        UMULL_V "umull" 0x2e20_c000 ProductLong;
        SADDL_V "saddl" 0x0e20_0000 AddLong;
        UADDL_V "uaddl" 0x2e20_0000 AddLong;
        SSUBL_V "ssubl" 0x0e20_2000 AddLong;
        USUBL_V "usubl" 0x2e20_2000 AddLong;
    }
    " <=vd>.<W>, <vn>.<T>, <vm>.<T>", Lanes, UPPER {
        SMULL2_V "smull2" 0x0e20_c000 ProductLong;
        UMULL2_V "umull2" 0x2e20_c000 ProductLong;
        SADDL2_V "saddl2" 0x0e20_0000 AddLong;
        UADDL2_V "uaddl2" 0x2e20_0000 AddLong;
        SSUBL2_V "ssubl2" 0x0e20_2000 AddLong;
        USUBL2_V "usubl2" 0x2e20_2000 AddLong;
    }
    " <+vd>.<W>, <vn>.<T>, <vm>.<T>", Lanes, LOWER {
        SMLAL_V "smlal" 0x0e20_8000 ProductLongAccumulate;
        UMLAL_V "umlal" 0x2e20_8000 ProductLongAccumulate;
        SMLSL_V "smlsl" 0x0e20_a000 ProductLongAccumulate;
        UMLSL_V "umlsl" 0x2e20_a000 ProductLongAccumulate;
    }
    " <+vd>.<W>, <vn>.<T>, <vm>.<T>", Lanes, UPPER {
        SMLAL2_V "smlal2" 0x0e20_8000 ProductLongAccumulate;
        UMLAL2_V "umlal2" 0x2e20_8000 ProductLongAccumulate;
        SMLSL2_V "smlsl2" 0x0e20_a000 ProductLongAccumulate;
        UMLSL2_V "umlsl2" 0x2e20_a000 ProductLongAccumulate;
    }
    " <=vd>.<W>, <vn>.<W>, <vm>.<T>", Lanes, LOWER {
        SADDW_V "saddw" 0x0e20_1000 AddLong;
        UADDW_V "uaddw" 0x2e20_1000 AddLong;
        SSUBW_V "ssubw" 0x0e20_3000 AddLong;
        USUBW_V "usubw" 0x2e20_3000 AddLong;
    }
    " <=vd>.<W>, <vn>.<W>, <vm>.<T>", Lanes, UPPER {
        SADDW2_V "saddw2" 0x0e20_1000 AddLong;
        UADDW2_V "uaddw2" 0x2e20_1000 AddLong;
        SSUBW2_V "ssubw2" 0x0e20_3000 AddLong;
        USUBW2_V "usubw2" 0x2e20_3000 AddLong;
    }
    " <=vd>.<P>, <vn>.<T>", Lanes, BHS {
        SADDLP_V "saddlp" 0x0e20_2800 AddPairs;
        UADDLP_V "uaddlp" 0x2e20_2800 AddPairs;
    }
    " <+vd>.<P>, <vn>.<T>", Lanes, BHS {
        SADALP_V "sadalp" 0x0e20_6800 AddPairsAccumulate;
        UADALP_V "uadalp" 0x2e20_6800 AddPairsAccumulate;
    }

    // With one element of the last vector.
    " <=vd>.<W>, <vn>.<T>, <vk>.h[<hlm>]", Lanes, LOWER_H {
        SMULL_LANE "smull" 0x0f00_a000 ProductLong;
        UMULL_LANE "umull" 0x2f00_a000 ProductLong;
    }
    " <=vd>.<W>, <vn>.<T>, <vk>.h[<hlm>]", Lanes, UPPER_H {
        SMULL2_LANE "smull2" 0x0f00_a000 ProductLong;
        UMULL2_LANE "umull2" 0x2f00_a000 ProductLong;
    }
    " <+vd>.<W>, <vn>.<T>, <vk>.h[<hlm>]", Lanes, LOWER_H {
        SMLAL_LANE "smlal" 0x0f00_2000 ProductLongAccumulate;
        UMLAL_LANE "umlal" 0x2f00_2000 ProductLongAccumulate;
        SMLSL_LANE "smlsl" 0x0f00_6000 ProductLongAccumulate;
    }
    " <+vd>.<W>, <vn>.<T>, <vk>.h[<hlm>]", Lanes, UPPER_H {
        SMLAL2_LANE "smlal2" 0x0f00_2000 ProductLongAccumulate;
        UMLAL2_LANE "umlal2" 0x2f00_2000 ProductLongAccumulate;
        SMLSL2_LANE "smlsl2" 0x0f00_6000 ProductLongAccumulate;
    }
    " <=vd>.<W>, <vn>.<T>, <vm>.s[<hl>]", Lanes, LOWER_S { SMULL_LANE_S "smull" 0x0f00_a000 ProductLong; }
    " <=vd>.<W>, <vn>.<T>, <vm>.s[<hl>]", Lanes, UPPER_S { SMULL2_LANE_S "smull2" 0x0f00_a000 ProductLong; }
    " <+vd>.<W>, <vn>.<T>, <vm>.s[<hl>]", Lanes, LOWER_S { SMLAL_LANE_S "smlal" 0x0f00_2000 ProductLongAccumulate; }
    " <+vd>.<W>, <vn>.<T>, <vm>.s[<hl>]", Lanes, UPPER_S { SMLAL2_LANE_S "smlal2" 0x0f00_2000 ProductLongAccumulate; }
    " <=vd>.<T>, <vn>.<T>, <vk>.h[<hlm>]", Lanes, H {
        MUL_LANE "mul" 0x0f00_8000 Product;
        SQDMULH_LANE "sqdmulh" 0x0f00_c000 ProductHigh;
        SQRDMULH_LANE "sqrdmulh" 0x0f00_d000 ProductHigh;
    }
    " <+vd>.<T>, <vn>.<T>, <vk>.h[<hlm>]", Lanes, H {
        MLA_LANE "mla" 0x2f00_0000 ProductAccumulate;
        MLS_LANE "mls" 0x2f00_4000 ProductAccumulate;
    }
    " <=vd>.<T>, <vn>.<T>, <vm>.s[<hl>]", Lanes, S {
        MUL_LANE_S "mul" 0x0f00_8000 Product;
        SQDMULH_LANE_S "sqdmulh" 0x0f00_c000 ProductHigh;
        SQRDMULH_LANE_S "sqrdmulh" 0x0f00_d000 ProductHigh;
    }
    " <+vd>.<T>, <vn>.<T>, <vm>.s[<hl>]", Lanes, S {
        MLA_LANE_S "mla" 0x2f00_0000 ProductAccumulate;
        MLS_LANE_S "mls" 0x2f00_4000 ProductAccumulate;
    }

    // Over all lanes.
    " <=ed>, <vn>.<T>", Lanes, ACROSS {
        ADDV_V "addv" 0x0e31_b800 Across;
        SMAXV_V "smaxv" 0x0e30_a800 Across;
        SMINV_V "sminv" 0x0e31_a800 Across;
        UMAXV_V "umaxv" 0x2e30_a800 Across;
        UMINV_V "uminv" 0x2e31_a800 Across;
    }
    " <=ld>, <vn>.<T>", Lanes, ACROSS {
        SADDLV_V "saddlv" 0x0e30_3800 Across;
        UADDLV_V "uaddlv" 0x2e30_3800 Across;
    }

    // By constants.
    " <=vd>.<T>, <vn>.<T>, #<left>", Long, ALL {
        SHL_V "shl" 0x0f00_5400 Shift;
        SQSHL_IMM_V "sqshl" 0x0f00_7400 ShiftRound;
    }
    " <+vd>.<T>, <vn>.<T>, #<left>", Long, ALL { SLI_V "sli" 0x2f00_5400 Shift; }
    " <=vd>.<T>, <vn>.<T>, #<right>", Long, ALL {
        SSHR_V "sshr" 0x0f00_0400 Shift;
        USHR_V "ushr" 0x2f00_0400 Shift;
        SRSHR_V "srshr" 0x0f00_2400 ShiftRound;
        URSHR_V "urshr" 0x2f00_2400 ShiftRound;
    }
    " <+vd>.<T>, <vn>.<T>, #<right>", Long, ALL {
        SSRA_V "ssra" 0x0f00_1400 ShiftAccumulate;
        USRA_V "usra" 0x2f00_1400 ShiftAccumulate;
        SRSRA_V "srsra" 0x0f00_3400 ShiftAccumulate;
        URSRA_V "ursra" 0x2f00_3400 ShiftAccumulate;
        SRI_V "sri" 0x2f00_4400 Shift;
    }
    " <=vd>.<W>, <vn>.<T>, #<left>", Long, LOWER {
        SSHLL_V "sshll" 0x0f00_a400 ShiftLong;
        USHLL_V "ushll" 0x2f00_a400 ShiftLong;
    }
    " <=vd>.<W>, <vn>.<T>, #<left>", Long, UPPER {
        SSHLL2_V "sshll2" 0x0f00_a400 ShiftLong;
        USHLL2_V "ushll2" 0x2f00_a400 ShiftLong;
    }
    " <=vd>.<T>, <vn>.<W>, #<right>", Long, LOWER {
        SHRN_V "shrn" 0x0f00_8400 ShiftNarrow;
        RSHRN_V "rshrn" 0x0f00_8c00 ShiftRound;
        SQSHRN_V "sqshrn" 0x0f00_9400 ShiftRound;
        SQRSHRN_V "sqrshrn" 0x0f00_9c00 ShiftRound;
        UQSHRN_V "uqshrn" 0x2f00_9400 ShiftRound;
        UQRSHRN_V "uqrshrn" 0x2f00_9c00 ShiftRound;
        SQSHRUN_V "sqshrun" 0x2f00_8400 ShiftRound;
        SQRSHRUN_V "sqrshrun" 0x2f00_8c00 ShiftRound;
    }
    " <+vd>.<T>, <vn>.<W>, #<right>", Long, UPPER {
        SHRN2_V "shrn2" 0x0f00_8400 ShiftNarrow;
        RSHRN2_V "rshrn2" 0x0f00_8c00 ShiftRound;
        SQSHRN2_V "sqshrn2" 0x0f00_9400 ShiftRound;
        SQRSHRN2_V "sqrshrn2" 0x0f00_9c00 ShiftRound;
        UQSHRN2_V "uqshrn2" 0x2f00_9400 ShiftRound;
        UQRSHRN2_V "uqrshrn2" 0x2f00_9c00 ShiftRound;
        SQSHRUN2_V "sqshrun2" 0x2f00_8400 ShiftRound;
        SQRSHRUN2_V "sqrshrun2" 0x2f00_8c00 ShiftRound;
    }
    " <=vd>.<T>, <vn>.<W>", Lanes, LOWER {
        XTN_V "xtn" 0x0e21_2800 Narrow;
        SQXTN_V "sqxtn" 0x0e21_4800 Narrow;
        SQXTUN_V "sqxtun" 0x2e21_2800 Narrow;
        UQXTN_V "uqxtn" 0x2e21_4800 Narrow;
    }
    " <+vd>.<T>, <vn>.<W>", Lanes, UPPER {
        XTN2_V "xtn2" 0x0e21_2800 Narrow;
        SQXTN2_V "sqxtn2" 0x0e21_4800 Narrow;
        SQXTUN2_V "sqxtun2" 0x2e21_2800 Narrow;
        UQXTN2_V "uqxtn2" 0x2e21_4800 Narrow;
    }

    // From place to place.
    " <=vd>.<T>, <vn>.<T>, <vm>.<T>, #<byte>", Long, BYTES { EXT_V "ext" 0x2e00_0000 Permute; }
    " <=vd>.<T>, { <vn>.16b }, <vm>.<T>", Long, BYTES { TBL1_V "tbl" 0x0e00_0000 Table; }
    " <+vd>.<T>, { <vn>.16b }, <vm>.<T>", Long, BYTES { TBX1_V "tbx" 0x0e00_1000 Table; }
    " <=vd>.<T>, <vn>.<E>[<lane>]", LowestOne, ALL { DUP_LANE "dup" 0x0e00_0400 Permute; }
    " <=sd>, <vn>.s[<lane_s>]", Fixed, NONE { DUP_SCALAR_S "mov" 0x5e04_0400 Permute; }
    " <=dd>, <vn>.d[<lane_d>]", Fixed, NONE { DUP_SCALAR_D "mov" 0x5e08_0400 Permute; }
    " <=vd>.<T>, <gn>", LowestOne, ALL { DUP_GENERAL "dup" 0x0e00_0c00 FromGeneral; }
    " <+vd>.<E>[<lane>], <gn>", LowestOne, ELEMENTS { INS_GENERAL "ins" 0x0e00_1c00 FromGeneral; }
    " <+vd>.<E>[<lane>], <vn>.<E>[<from>]", LowestOne, ELEMENTS { INS_LANE "ins" 0x2e00_0400 Permute; }
    " <=wd>, <vn>.b[<lane_b>]", Fixed, NONE { UMOV_B "umov" 0x0e01_3c00 ToGeneral; }
    " <=wd>, <vn>.h[<lane_h>]", Fixed, NONE { UMOV_H "umov" 0x0e02_3c00 ToGeneral; }
    " <=wd>, <vn>.s[<lane_s>]", Fixed, NONE { UMOV_S "umov" 0x0e04_3c00 ToGeneral; }
    " <=xd>, <vn>.d[<lane_d>]", Fixed, NONE { UMOV_D "umov" 0x4e08_3c00 ToGeneral; }
    " <=xd>, <vn>.b[<lane_b>]", Fixed, NONE { SMOV_B "smov" 0x4e01_2c00 ToGeneral; }
    " <=xd>, <vn>.h[<lane_h>]", Fixed, NONE { SMOV_H "smov" 0x4e02_2c00 ToGeneral; }
    " <=xd>, <vn>.s[<lane_s>]", Fixed, NONE { SMOV_S "smov" 0x4e04_2c00 ToGeneral; }
    " <=vd>.<T>, #<u8>", Long, BYTES { MOVI_B "movi" 0x0f00_e400 Logic; }
    " <=vd>.<T>, #<u8>, lsl #<up1*8>", Long, H {
        MOVI_H "movi" 0x0f00_8400 Logic;
        MVNI_H "mvni" 0x2f00_8400 Logic;
    }
    " <=vd>.<T>, #<u8>, lsl #<up2*8>", Long, S {
        MOVI_S "movi" 0x0f00_0400 Logic;
        MVNI_S "mvni" 0x2f00_0400 Logic;
    }
    " <=vd>.2d, #<bytes>", Fixed, NONE { MOVI_D "movi" 0x6f00_e400 Logic; }
    " <=vd>.2d, #0", Fixed, NONE { MOVI_ZERO "movi" 0x6f00_e400 Logic; }

    // Dot products: four products of bytes to each lane; matrices of 2 by 8.
    " <+vd>.4s, <vn>.16b, <vm>.16b", Fixed, NONE {
        SDOT "sdot" 0x4e80_9400 Dot;
        UDOT "udot" 0x6e80_9400 Dot;
        USDOT "usdot" 0x4e80_9c00 Dot;
        SMMLA "smmla" 0x4e80_a400 MatrixDot;
        UMMLA "ummla" 0x6e80_a400 MatrixDot;
        USMMLA "usmmla" 0x4e80_ac00 MatrixDot;
    }
    " <+vd>.4s, <vn>.16b, <vm>.4b[<hl>]", Fixed, NONE {
        SDOT_LANE "sdot" 0x4f80_e000 Dot;
        UDOT_LANE "udot" 0x6f80_e000 Dot;
        USDOT_LANE "usdot" 0x4f80_f000 Dot;
        SUDOT_LANE "sudot" 0x4f00_f000 Dot;
    }
}

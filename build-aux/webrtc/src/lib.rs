// SPDX-License-Identifier: MPL-2.0
//! Empty: cargo builds dependencies only of something.

// SPDX-License-Identifier: MPL-2.0
//! Reading and writing a rectangle of a video frame in any supported format.

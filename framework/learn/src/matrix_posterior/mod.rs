//! A low-rank matrix that is known in some entries: its mean-field normal posterior, and draws from it.
//!
//! Entries y_ij ~ N(M_ij, σ²) with M = U Vᵀ, or M = U diag(s) Uᵀ, all factor entries N(0, 1) beforehand and independent
//! normal in the posterior q, mean μ and variance v. The bound on the evidence has a closed form:
//!
//! - E_q(y - Σ_k a_k b_k)² = (y - Σ μ^a μ^b)² + Σ_k [v^a v^b + v^a (μ^b)² + (μ^a)² v^b]; for U diag(s) Uᵀ the product
//!   s_k u_jk stands for b_k, with mean μ^s μ^u and variance E s² E u² - (μ^s μ^u)²;
//! - each factor entry costs ½ (μ² + v - 1 - ln v).
//!
//! The bound is raised in one of two ways. *Adam* on μ and ln √v with the exact gradient, a fixed number of steps. *Coordinate ascent*: given the
//! other side, the best q of a row has the mean of a ridge regression, (I + σ⁻² Σ_j (diag v_j + μ_j μ_jᵀ))⁻¹ σ⁻² Σ_j y_j μ_j,
//! and variances 1 / diag of the same matrix. Solving for a row at once keeps q in the family that Adam searches, needs
//! far fewer sweeps than one entry at a time, and never lowers the bound. Rows without any known entry are N(0, 1) at
//! the optimum and are left out of the work, so cost does not grow with the genes never measured.
//!
//! After Jain et al. 2024 (section 4, appendix C) and Xu, Jain et al. 2024 (appendix D.3). Cost for N known entries, n rows
//! with any, rank m: a step of Adam O(N m + n m), a sweep O(N m² + n m³). Draws: O(n m) numbers a draw, O(m) an entry.

mod ascent;
mod draws;
mod factor;
mod fit;
mod problem;
mod settings;

pub use draws::MatrixDraws;
pub use fit::{MatrixJob, MatrixPosterior, fit_all};
pub use settings::{Entries, Factorisation, Inference, Init, MatrixSettings};

#[cfg(test)]
mod tests;

"""Papers and books on processes, theory and methods that the package computes with."""

# ruff: noqa: E501 - a line for each
from sde_sgd._citation._reference import entries

_JOURNALS = """
anderson1954test | Anderson, T. W. and Darling, D. A. | A Test of Goodness of Fit | 1954 | journal=Journal of the American Statistical Association | volume=49 | pages=765--769
anderson1962distribution | Anderson, T. W. | On the Distribution of the Two-Sample Cramér-von Mises Criterion | 1962 | journal=The Annals of Mathematical Statistics | volume=33 | pages=1148--1159
allen2005sampling | Allen, Rosalind J. and Warren, Patrick B. and ten Wolde, Pieter Rein | Sampling Rare Switching Events in Biochemical Networks | 2005 | journal=Physical Review Letters | volume=94 | pages=018104
chang1970practical | Chang, J. S. and Cooper, G. | A Practical Difference Scheme for Fokker-Planck Equations | 1970 | journal=Journal of Computational Physics | volume=6 | pages=1--16
delbarrio1999central | del Barrio, Eustasio and Giné, Evarist and Matrán, Carlos | Central Limit Theorems for the Wasserstein Distance between the Empirical and the True Distributions | 1999 | journal=The Annals of Probability | volume=27 | pages=1009--1071
efron1987better | Efron, Bradley | Better Bootstrap Confidence Intervals | 1987 | journal=Journal of the American Statistical Association | volume=82 | pages=171--185
garwood1936fiducial | Garwood, F. | Fiducial Limits for the Poisson Distribution | 1936 | journal=Biometrika | volume=28 | pages=437--442
holm1979simple | Holm, Sture | A Simple Sequentially Rejective Multiple Test Procedure | 1979 | journal=Scandinavian Journal of Statistics | volume=6 | pages=65--70
kolmogorov1933sulla | Kolmogorov, A. N. | Sulla determinazione empirica di una legge di distribuzione | 1933 | journal=Giornale dell'Istituto Italiano degli Attuari | volume=4 | pages=83--91
kramers1940brownian | Kramers, H. A. | Brownian Motion in a Field of Force and the Diffusion Model of Chemical Reactions | 1940 | journal=Physica | volume=7 | pages=284--304
leimkuhler2013rational | Leimkuhler, Benedict and Matthews, Charles | Rational Construction of Stochastic Numerical Methods for Molecular Sampling | 2013 | journal=Applied Mathematics Research eXpress | eprint=1203.5428
li2019stochastic | Li, Qianxiao and Tai, Cheng and E, Weinan | Stochastic Modified Equations and Dynamics of Stochastic Gradient Algorithms I: Mathematical Foundations | 2019 | journal=Journal of Machine Learning Research | volume=20 | eprint=1811.01558
lin2016approximating | Lin, Lin and Saad, Yousef and Yang, Chao | Approximating Spectral Densities of Large Matrices | 2016 | journal=SIAM Review | volume=58 | pages=34--65
mackay1992bayesian | MacKay, David J. C. | Bayesian Interpolation | 1992 | journal=Neural Computation | volume=4 | pages=415--447
melchionna2007design | Melchionna, Simone | Design of Quasisymplectic Propagators for Langevin Dynamics | 2007 | journal=The Journal of Chemical Physics | volume=127 | pages=044108
mohammadi2015estimating | Mohammadi, Mohammad and Mohammadpour, Adel and Ogata, Hiroaki | On Estimating the Tail Index and the Spectral Measure of Multivariate α-Stable Distributions | 2015 | journal=Metrika | volume=78 | pages=549--561
muller1979location | Müller, Klaus and Brown, Leo D. | Location of Saddle Points and Minimum Energy Paths by a Constrained Simplex Optimization Procedure | 1979 | journal=Theoretica Chimica Acta | volume=53 | pages=75--93
polyak1964some | Polyak, B. T. | Some Methods of Speeding Up the Convergence of Iteration Methods | 1964 | journal=USSR Computational Mathematics and Mathematical Physics | volume=4 | pages=1--17
robbins1951stochastic | Robbins, Herbert and Monro, Sutton | A Stochastic Approximation Method | 1951 | journal=The Annals of Mathematical Statistics | volume=22 | pages=400--407
scharfetter1969large | Scharfetter, D. L. and Gummel, H. K. | Large-Signal Analysis of a Silicon Read Diode Oscillator | 1969 | journal=IEEE Transactions on Electron Devices | volume=16 | pages=64--77
schuirmann1987comparison | Schuirmann, Donald J. | A Comparison of the Two One-Sided Tests Procedure and the Power Approach for Assessing the Equivalence of Average Bioavailability | 1987 | journal=Journal of Pharmacokinetics and Biopharmaceutics | volume=15 | pages=657--680
smirnov1948table | Smirnov, N. | Table for Estimating the Goodness of Fit of Empirical Distributions | 1948 | journal=The Annals of Mathematical Statistics | volume=19 | pages=279--281
styblinski1990experiments | Styblinski, M. A. and Tang, T.-S. | Experiments in Nonconvex Optimization: Stochastic Approximation with Function Smoothing and Simulated Annealing | 1990 | journal=Neural Networks | volume=3 | pages=467--483
szekely2013energy | Székely, Gábor J. and Rizzo, Maria L. | Energy Statistics: A Class of Statistics Based on Distances | 2013 | journal=Journal of Statistical Planning and Inference | volume=143 | pages=1249--1272
vehtari2021rank | Vehtari, Aki and Gelman, Andrew and Simpson, Daniel and Carpenter, Bob and Bürkner, Paul-Christian | Rank-Normalization, Folding, and Localization: An Improved R-hat for Assessing Convergence of MCMC | 2021 | journal=Bayesian Analysis | volume=16 | pages=667--718
"""
_CONFERENCES = """
cohen2021gradient | Cohen, Jeremy M. and Kaur, Simran and Li, Yuanzhi and Kolter, J. Zico and Talwalkar, Ameet | Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability | 2021 | booktitle=International Conference on Learning Representations | eprint=2103.00065
ghorbani2019investigation | Ghorbani, Behrooz and Krishnan, Shankar and Xiao, Ying | An Investigation into Neural Net Optimization via Hessian Eigenvalue Density | 2019 | booktitle=International Conference on Machine Learning | eprint=1901.10159
he2016deep | He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian | Deep Residual Learning for Image Recognition | 2016 | booktitle=IEEE Conference on Computer Vision and Pattern Recognition | eprint=1512.03385
jastrzebski2019relation | Jastrzębski, Stanisław and Kenton, Zachary and Ballas, Nicolas and Fischer, Asja and Bengio, Yoshua and Storkey, Amos | On the Relation Between the Sharpest Directions of DNN Loss and the SGD Step Length | 2019 | booktitle=International Conference on Learning Representations | eprint=1807.05031
li2017stochastic | Li, Qianxiao and Tai, Cheng and E, Weinan | Stochastic Modified Equations and Adaptive Stochastic Gradient Algorithms | 2017 | booktitle=International Conference on Machine Learning | eprint=1511.06251
li2021validity | Li, Zhiyuan and Malladi, Sadhika and Arora, Sanjeev | On the Validity of Modeling SGD with Stochastic Differential Equations (SDEs) | 2021 | booktitle=Advances in Neural Information Processing Systems | eprint=2102.12470
liu2021noise | Liu, Kangqiao and Ziyin, Liu and Ueda, Masahito | Noise and Fluctuation of Finite Learning Rate Stochastic Gradient Descent | 2021 | booktitle=International Conference on Machine Learning | eprint=2012.03636
mori2022power | Mori, Takashi and Ziyin, Liu and Liu, Kangqiao and Ueda, Masahito | Power-Law Escape Rate of SGD | 2022 | booktitle=International Conference on Machine Learning | eprint=2105.09557
smith2018bayesian | Smith, Samuel L. and Le, Quoc V. | A Bayesian Perspective on Generalization and Stochastic Gradient Descent | 2018 | booktitle=International Conference on Learning Representations | eprint=1710.06451
smith2018dont | Smith, Samuel L. and Kindermans, Pieter-Jan and Ying, Chris and Le, Quoc V. | Don't Decay the Learning Rate, Increase the Batch Size | 2018 | booktitle=International Conference on Learning Representations | eprint=1711.00489
welling2011bayesian | Welling, Max and Teh, Yee Whye | Bayesian Learning via Stochastic Gradient Langevin Dynamics | 2011 | booktitle=International Conference on Machine Learning | pages=681--688
wu2018group | Wu, Yuxin and He, Kaiming | Group Normalization | 2018 | booktitle=European Conference on Computer Vision | eprint=1803.08494
xie2021diffusion | Xie, Zeke and Sato, Issei and Sugiyama, Masashi | A Diffusion Theory For Deep Learning Dynamics: Stochastic Gradient Descent Exponentially Favors Flat Minima | 2021 | booktitle=International Conference on Learning Representations | eprint=2002.03495
yaida2019fluctuation | Yaida, Sho | Fluctuation-Dissipation Relations for Stochastic Gradient Descent | 2019 | booktitle=International Conference on Learning Representations | eprint=1810.00004
ziyin2022strength | Ziyin, Liu and Liu, Kangqiao and Mori, Takashi and Ueda, Masahito | Strength of Minibatch Noise in SGD | 2022 | booktitle=International Conference on Learning Representations | eprint=2102.05375
"""
_BOOKS = """
freidlin2012random | Freidlin, Mark I. and Wentzell, Alexander D. | Random Perturbations of Dynamical Systems | 2012 | publisher=Springer
gardiner2004handbook | Gardiner, Crispin W. | Handbook of Stochastic Methods | 2004 | publisher=Springer
kloeden1992numerical | Kloeden, Peter E. and Platen, Eckhard | Numerical Solution of Stochastic Differential Equations | 1992 | publisher=Springer
parlett1998symmetric | Parlett, Beresford N. | The Symmetric Eigenvalue Problem | 1998 | publisher=SIAM
westfall1993resampling | Westfall, Peter H. and Young, S. Stanley | Resampling-Based Multiple Testing | 1993 | publisher=Wiley
"""
_PREPRINTS = """
cohen2024understanding | Cohen, Jeremy M. and Damian, Alex and Talwalkar, Ameet and Kolter, J. Zico and Lee, Jason D. | Understanding Optimization in Deep Learning with Central Flows | 2024 | eprint=2410.24206
foster2021shifted | Foster, James and Lyons, Terry and Oberhauser, Harald | The Shifted ODE Method for Underdamped Langevin MCMC | 2021 | eprint=2101.03446
jastrzebski2017three | Jastrzębski, Stanisław and Kenton, Zachary and Arpit, Devansh and Ballas, Nicolas and Fischer, Asja and Bengio, Yoshua and Storkey, Amos | Three Factors Influencing Minima in SGD | 2017 | eprint=1711.04623
lau2023local | Lau, Edmund and Furman, Zach and Wang, George and Murfet, Daniel and Wei, Susan | The Local Learning Coefficient: A Singularity-Aware Complexity Measure | 2023 | eprint=2308.12108
mccandlish2018empirical | McCandlish, Sam and Kaplan, Jared and Amodei, Dario | An Empirical Model of Large-Batch Training | 2018 | eprint=1812.06162
"""

PAPERS = {
    **entries("article", _JOURNALS),
    **entries("inproceedings", _CONFERENCES),
    **entries("book", _BOOKS),
    **entries("misc", _PREPRINTS),
}

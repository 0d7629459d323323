"""Real and generated data sets; nothing is downloaded."""

from sde_sgd._platform import _names
from sde_sgd.data._augment import augmented_digits as augmented_digits
from sde_sgd.data._bundled import breast_cancer as breast_cancer
from sde_sgd.data._bundled import digits as digits
from sde_sgd.data._bundled import wine as wine
from sde_sgd.data._cifar import cifar10 as cifar10
from sde_sgd.data._cifar import cifar100 as cifar100
from sde_sgd.data._dataset import Dataset as Dataset
from sde_sgd.data._emnist import emnist as emnist
from sde_sgd.data._idx import read_idx as read_idx
from sde_sgd.data._label_noise import with_label_noise as with_label_noise
from sde_sgd.data._mnist import fashion_mnist as fashion_mnist
from sde_sgd.data._mnist import kmnist as kmnist
from sde_sgd.data._mnist import mnist as mnist
from sde_sgd.data._mnist1d import mnist1d as mnist1d
from sde_sgd.data._split import split as split
from sde_sgd.data._teacher import teacher as teacher

__dir__ = _names.public(globals())

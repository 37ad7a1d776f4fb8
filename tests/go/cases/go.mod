module cvm-gateway.test/cases

go 1.19

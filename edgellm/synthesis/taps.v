// Yosys knows a shift register with a tap by its $shiftx of one bit; slang gives it a $bmux.
(* techmap_celltype = "$bmux" *)
module tap_of_shift_register (A, S, Y);
  parameter WIDTH = 1;
  parameter S_WIDTH = 1;
  input [(WIDTH << S_WIDTH)-1:0] A;
  input [S_WIDTH-1:0] S;
  output [WIDTH-1:0] Y;
  generate
    if (WIDTH == 1) begin : gen_tap
      \$shiftx #(
          .A_SIGNED(0),
          .B_SIGNED(0),
          .A_WIDTH (1 << S_WIDTH),
          .B_WIDTH (S_WIDTH),
          .Y_WIDTH (1)
      ) tap (
          .A(A),
          .B(S),
          .Y(Y)
      );
    end else begin : gen_other
      wire _TECHMAP_FAIL_ = 1;
    end
  endgenerate
endmodule
